//! The look at names: which file each of them shows, which files are new, and which have lost their name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::file::{LogFile, Start, is_at};
use super::health::Reporter;
use super::pattern::{MAX_NAMES, Pattern, too_many};
use super::place::{Identity, Kind, Seen, open_regular};
use super::position::Position;
use super::siblings::Lost;
use super::worker::Worker;
use crate::inputs::Closed;
use crate::observation::{Failure, FailureReason};

/// A name may be without a file for so long, in the middle of a rotation, before that is said.
const MISSING_GRACE: Duration = Duration::from_secs(5);

/// Files kept open after they lost their name: room for one rotation of as many logs as there may be, or for a log that
/// is rotated by the second.
const MAX_NAMELESS: usize = MAX_NAMES;

/// A followed name.
#[derive(Debug)]
pub(super) struct Name {
    /// The file it shows, or showed last: to this process, or by the position file to the one before.
    current: Option<Identity>,
    /// When it was last seen to show that file.
    confirmed: Option<SystemTime>,
    /// It has not been looked at yet, and what it shows then is old.
    fresh: bool,
    /// The file it showed at first, and how long that was: what is new begins there.
    at_first: Option<(Identity, u64)>,
    missing_since: Option<Instant>,
    /// No pattern has brought it up in the last look.
    gone: bool,
    failure: Option<Failure>,
}

impl Name {
    fn new(current: Option<Identity>, confirmed: Option<SystemTime>, fresh: bool) -> Self {
        Self { current, confirmed, fresh, at_first: None, missing_since: None, gone: false, failure: None }
    }
}

impl Worker {
    /// Looks at all patterns and names.
    pub(super) fn look(&mut self) -> Result<(), Closed> {
        self.names.values_mut().for_each(|name| name.gone = true);
        self.expand();
        self.drop_names()?;
        let mut named = BTreeSet::new();
        // Taken out while each of them may open files.
        let mut names = std::mem::take(&mut self.names);
        for (path, name) in &mut names {
            let looked = self.look_at_name(path, name);
            name.failure = looked.err();
            // Of a name that cannot be looked at, we only know what it was.
            named.extend(name.current.filter(|_| name.missing_since.is_none()));
        }
        self.names = names;
        self.part_with_files(&named)?;
        self.watch_directories();
        Ok(())
    }

    /// Follows other patterns. Those that stay are not looked at as if they were new.
    pub(super) fn replace_patterns(&mut self, texts: Vec<String>) -> Result<(), Closed> {
        let mut before: BTreeMap<_, _> =
            std::mem::take(&mut self.patterns).into_iter().map(|pattern| (pattern.text.clone(), pattern)).collect();
        self.patterns =
            texts.into_iter().map(|text| before.remove(&text).unwrap_or_else(|| Pattern::new(text))).collect();
        before.into_values().filter(Pattern::is_glob).try_for_each(|glob| self.reporter.removed(&glob.text))
    }

    fn expand(&mut self) {
        for pattern in &mut self.patterns {
            let found = pattern.look(&self.root);
            let found = found.into_iter().map(|path| (path, pattern.fresh, false));
            // A name that was followed may be without a file at this moment, but there is something to look for.
            let inherited = self.positions.names().filter(|path| pattern.fresh && pattern.matches(path));
            let names: Vec<_> = inherited.map(|path| (path.clone(), false, true)).chain(found).collect();
            for (path, fresh, gone) in names {
                if self.names.len() >= MAX_NAMES && !self.names.contains_key(&path) {
                    pattern.failure = Some(too_many(&path));
                    continue;
                }
                let current = self.positions.last_under(&path);
                let confirmed = self.positions.inherited_at;
                self.names.entry(path).or_insert_with(|| Name::new(current, confirmed, fresh)).gone = gone;
            }
            pattern.fresh = false;
        }
    }

    /// Names that are no longer wanted go at once, with their files; names that left a glob after a while.
    fn drop_names(&mut self) -> Result<(), Closed> {
        let dropped: Vec<PathBuf> =
            self.names.iter().filter(|(_, name)| name.gone).map(|(path, _)| path.clone()).collect();
        for path in dropped {
            let wanted = self.patterns.iter().any(|pattern| pattern.matches(&path));
            let missing = self.names.get_mut(&path).map(|name| *name.missing_since.get_or_insert_with(Instant::now));
            if wanted && missing.is_none_or(|since| since.elapsed() < MISSING_GRACE) {
                continue;
            }
            self.names.remove(&path);
            self.reporter.removed(&Reporter::label(&path))?;
            if !wanted {
                let files: Vec<_> = self.files.values().filter(|file| file.name == path).map(|file| file.id).collect();
                files.into_iter().try_for_each(|id| self.close(id, false))?;
            }
        }
        Ok(())
    }

    fn look_at_name(&mut self, path: &Path, name: &mut Name) -> Result<(), Failure> {
        let fresh = name.fresh;
        let now = SystemTime::now();
        let seen = match self.root.look(path) {
            Ok(seen) => seen,
            Err(failure) => {
                // What we may not see may have been there all the time.
                name.fresh = fresh && failure.reason == FailureReason::Permission;
                if failure.reason != FailureReason::NotFound {
                    name.missing_since = None;
                    return Err(failure);
                }
                let since = *name.missing_since.get_or_insert_with(Instant::now);
                self.recover(path, name.confirmed.replace(now).zip(Some(now)));
                if name.current.is_some_and(|id| self.files.contains_key(&id)) && since.elapsed() < MISSING_GRACE {
                    return Ok(());
                }
                return Err(failure);
            }
        };
        name.missing_since = None;
        name.fresh = false;
        if fresh {
            name.at_first = Some((seen.id, seen.len));
        }
        if !self.files.contains_key(&seen.id) {
            self.open(path, name, seen.kind)?;
        } else if let Some(file) = self.files.get_mut(&seen.id) {
            // A name that came back to a file that had lost it: a symlink switched there and back.
            if name.current != Some(seen.id) && file.nameless.is_some() {
                file.rotated();
            }
            name.current = Some(seen.id);
        }
        name.confirmed = Some(now);
        Ok(())
    }

    /// Opens the file a name shows, which is not open yet.
    fn open(&mut self, path: &Path, name: &mut Name, kind: Kind) -> Result<(), Failure> {
        let (file, seen) = self.root.open(path, kind)?;
        if self.files.contains_key(&seen.id) {
            // Between look and open the name went back to a file that is open.
            name.current = Some(seen.id);
            return Ok(());
        }
        let known = self.known(&file, seen.id);
        // The same number is not the same file: that is for what was read of it to show.
        let rotated = name.current.is_some_and(|last| last != seen.id || known.is_none());
        let start = match (&known, name.at_first) {
            (Some(position), _) => Start::At(position),
            (None, Some((id, len))) if id == seen.id && !rotated && !self.options.from_start => Start::After(len),
            _ => Start::Beginning,
        };
        self.follow_file(path, (file, seen), start, rotated);
        name.current = Some(seen.id);
        self.recover(path, name.confirmed.zip(seen.born).filter(|_| rotated));
        Ok(())
    }

    /// Opens what had the name before and is not open: files followed by the process before this one, and files that
    /// came and went between two looks.
    fn recover(&mut self, path: &Path, between: Option<(SystemTime, SystemTime)>) {
        let now_at = self.root.leads_to(path);
        let lost = Lost { now_at: &now_at, known: self.positions.inherited(path), between };
        for sibling in lost.find() {
            let Ok((file, seen)) = open_regular(&sibling) else { continue };
            if self.files.contains_key(&seen.id) {
                continue;
            }
            match self.known(&file, seen.id) {
                Some(position) if position.path == path => {
                    self.follow_file(path, (file, seen), Start::At(&position), false);
                }
                None if between.is_some() => self.follow_file(path, (file, seen), Start::Beginning, true),
                Some(_) | None => {}
            }
        }
        self.positions.disinherit(path);
    }

    fn follow_file(&mut self, path: &Path, opened: (File, Seen), start: Start<'_>, rotated: bool) {
        let id = opened.1.id;
        let mut file = LogFile::new(path.to_owned(), opened, start, (self.make_consumer)(path));
        file.watch = self.watcher.watch_file(id, file.file());
        if rotated {
            file.rotated();
        }
        self.positions.forget(id);
        self.files.insert(id, file);
    }

    /// Where reading of this very file had stopped.
    fn known(&self, file: &File, id: Identity) -> Option<Position> {
        self.positions.get(id).filter(|position| is_at(file, position)).cloned()
    }

    /// Files that lost their name are read on until they have been quiet for long enough.
    fn part_with_files(&mut self, named: &BTreeSet<Identity>) -> Result<(), Closed> {
        let (mut finished, mut kept) = (Vec::new(), Vec::new());
        for file in self.files.values_mut() {
            if named.contains(&file.id) {
                file.nameless = None;
                continue;
            }
            file.nameless.get_or_insert_with(Instant::now);
            // With no other file under the name, nginx may well go on writing here.
            let awaited = self.names.get(&file.name).is_some_and(|name| name.current == Some(file.id));
            if file.quiet_for(self.options.keep_rotated) && (!awaited || file.is_unlinked()) {
                finished.push(file.id);
            } else {
                kept.push((file.last_bytes(), file.id));
            }
        }
        // The longest quiet go first.
        kept.sort_unstable();
        let excess = kept.len().saturating_sub(MAX_NAMELESS);
        finished.extend(kept.into_iter().take(excess).map(|(_, id)| id));
        finished.into_iter().try_for_each(|id| self.close(id, true))
    }

    fn watch_directories(&mut self) {
        let names = self.names.keys().flat_map(|name| [self.root.outside(name), self.root.leads_to(name)]);
        let mut directories: BTreeSet<PathBuf> = names.filter_map(|name| Some(name.parent()?.to_owned())).collect();
        directories.extend(self.patterns.iter().filter_map(Pattern::directory).map(|path| self.root.outside(path)));
        self.watcher.watch_directories(directories.iter().map(PathBuf::as_path));
    }

    /// Says how each name and each glob is doing.
    pub(super) fn say_health(&mut self) -> Result<(), Closed> {
        for (path, name) in &self.names {
            let file = name.current.and_then(|id| self.files.get(&id));
            let failure = name.failure.as_ref().or_else(|| file?.failure.as_ref());
            self.reporter.say(&Reporter::label(path), failure.cloned().map_or(Ok(()), Err))?;
        }
        for glob in self.patterns.iter().filter(|pattern| pattern.is_glob()) {
            self.reporter.say(&glob.text, glob.failure.clone().map_or(Ok(()), Err))?;
        }
        Ok(())
    }
}
