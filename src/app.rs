//! Wiring: opens what must be open, starts every part, passes on reloads, stops all of it. No part knows another.

mod logs;
mod survey;
mod watches;

use std::io;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::logs::Logs;
use crate::config::{Config, Source};
use crate::inputs::log::follow::{FollowOptions, Follower, MakeConsumer};
use crate::inputs::log::nginx_error::Tally;
use crate::inputs::{Sink, process as process_input};
use crate::observation::{Observation, Reload};
use crate::state::{self, Limits, State};
use crate::web::{self, BindError, ReloadRequest, WebState};

/// Threads of the async runtime: it only answers HTTP and applies batches.
const RUNTIME_THREADS: usize = 2;

/// How long the parts may take to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(8);

/// How long the first look at the configurations of nginx and FPM may take.
const FIRST_LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// How often the log thread is looked after.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Why the exporter ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The operating system refused something the exporter cannot do without.
    #[error("cannot {what}: {error}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// A part ended that never should.
    #[error("{0} has ended unexpectedly; please report this")]
    Died(&'static str),
}

impl RunError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}

/// Runs the exporter until SIGTERM or SIGINT. `apply_level` changes the level of the exporter's own log.
///
/// # Errors
/// When it could not start, or a part died.
pub fn run(
    config: Config,
    source: Source,
    apply_level: impl Fn(tracing::Level) + Send + Sync + 'static,
) -> Result<(), RunError> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .build()
        .map_err(RunError::system("start the async runtime"))?;
    let result = runtime.block_on(serve(config, source, apply_level));
    // A thread that hangs in a dead file system must not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Every followed log and every connection takes a descriptor; the soft limit is often low for the sake of `select(2)`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%error, "the limit on open files stays where it is");
    }
}

async fn serve(
    config: Config,
    source: Source,
    apply_level: impl Fn(tracing::Level) + Send + Sync + 'static,
) -> Result<(), RunError> {
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let hangup = on(SignalKind::hangup())?;
    let listeners = bind(&config).await?;
    let (sink, observations) = Sink::channel();
    let state = State::new(Limits { label_sets_per_family: config.series_per_family });
    let (publisher, snapshots) = watch::channel(state.snapshot(SystemTime::now()));
    let hub = tokio::spawn(state::hub::run(observations, state, publisher));

    let looking = config.clone();
    let look = tokio::task::spawn_blocking(move || {
        let mut seen = survey::Seen::default();
        (survey::survey(&looking, &mut seen).unwrap_or_default(), seen)
    });
    // A file system that hangs must not keep the exporter from starting: the next look may find more.
    let first = tokio::time::timeout(FIRST_LOOK_DEADLINE, look).await;
    let (first, seen) = first.ok().and_then(Result::ok).unwrap_or_default();
    let patterns = survey::patterns(&config, &first.error_logs);
    let follower = Follower::start(follow_options(&config, patterns), consumer_factory(), sink.clone())
        .map_err(RunError::system("start following logs"))?;
    let follower = Arc::new(follower);
    let stop = CancellationToken::new();
    let process_usage = tokio::spawn(process_input::run(config.procfs.clone(), sink.clone(), stop.clone()));

    let logs = Arc::new(Logs::new(Arc::clone(&follower), config.clone(), first.error_logs.clone()));
    let watches = watches::start(&config, (first, seen), &logs, &sink, &stop);

    let (reload_requests, requests) = mpsc::channel(1);
    let web_state = WebState {
        snapshots,
        telemetry_path: config.telemetry_path.clone(),
        reload: config.lifecycle.then_some(reload_requests),
    };
    let web = tokio::spawn(web::serve(listeners, web::router(web_state), stop.clone()));
    let reloader = Reloader { started_with: config, source, logs, sink, apply_level };
    let reloads = tokio::spawn(reloader.run(hangup, requests, stop.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = process::id(), "started");

    let died = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        died = first_dead(&hub, &web, &follower) => Some(died),
    };
    tracing::info!("stopping");
    stop.cancel();
    let stopped = tokio::time::timeout(STOP_DEADLINE, async {
        // The logs first: what they still say has to pass the hub.
        ended(reloads, "reloading").await;
        for watch in watches {
            ended(watch, "a watch on pools, sockets or peers").await;
        }
        ended(tokio::task::spawn_blocking(move || Arc::into_inner(follower).map(Follower::stop)), "following logs")
            .await;
        ended(process_usage, "reading the own process").await;
        ended(hub, "the hub").await;
        ended(web, "the web server").await;
    })
    .await;
    if stopped.is_err() {
        tracing::warn!(seconds = STOP_DEADLINE.as_secs(), "not everything stopped in time");
    }
    died.map_or(Ok(()), |part| Err(RunError::Died(part)))
}

fn on(kind: SignalKind) -> Result<Signal, RunError> {
    signal(kind).map_err(RunError::system("listen to signals"))
}

/// Opens every address before anything is announced.
async fn bind(config: &Config) -> Result<Vec<TcpListener>, RunError> {
    let mut listeners = Vec::with_capacity(config.listen.len());
    for address in &config.listen {
        let listener = web::bind(address.host(), address.port()).await?;
        if let Ok(local) = listener.local_addr() {
            tracing::info!(address = %local, path = config.telemetry_path, "listening");
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

fn follow_options(config: &Config, patterns: Vec<String>) -> FollowOptions {
    FollowOptions {
        patterns,
        rootfs: (config.rootfs != Path::new("/")).then(|| config.rootfs.clone()),
        from_start: config.from_start,
        position_file: config.position_file.clone(),
        poll_interval: config.poll_interval,
        ..FollowOptions::default()
    }
}

fn consumer_factory() -> MakeConsumer {
    Box::new(|path| Box::new(Tally::new(path.to_string_lossy().into())))
}

/// Waits until a part ends that should not.
async fn first_dead(hub: &JoinHandle<()>, web: &JoinHandle<()>, follower: &Follower) -> &'static str {
    let mut watch = tokio::time::interval(WATCH_INTERVAL);
    loop {
        watch.tick().await;
        if hub.is_finished() {
            return "the hub";
        }
        if web.is_finished() {
            return "the web server";
        }
        if follower.is_finished() {
            return "following logs";
        }
    }
}

async fn ended<T>(task: JoinHandle<T>, part: &'static str) {
    if let Err(error) = task.await {
        tracing::error!(%error, part, "a part of the exporter failed");
    }
}

/// Reads the configuration again when asked to, by SIGHUP or over HTTP.
struct Reloader<L> {
    /// What a restart would change is told against this.
    started_with: Config,
    source: Source,
    logs: Arc<Logs>,
    sink: Sink,
    apply_level: L,
}

impl<L: Fn(tracing::Level) + Send + Sync + 'static> Reloader<L> {
    async fn run(mut self, mut hangup: Signal, mut requests: mpsc::Receiver<ReloadRequest>, stop: CancellationToken) {
        // The configuration read at the start counts as the first reload that went well.
        self.report(true).await;
        loop {
            let answer: Option<oneshot::Sender<_>> = tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = hangup.recv() => None,
                Some(answer) = requests.recv() => Some(answer),
            };
            let outcome = self.reload().await;
            self.report(outcome.is_ok()).await;
            if let Some(answer) = answer
                && answer.send(outcome).is_err()
            {
                tracing::debug!("who asked for the reload has gone");
            }
        }
    }

    /// Applies what can be applied; an invalid configuration changes nothing.
    async fn reload(&mut self) -> Result<(), String> {
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || source.load()).await.map_err(|error| error.to_string())?;
        let config = loaded.map_err(|problems| {
            let told = problems.to_string();
            tracing::error!(problems = told, "the configuration was not reloaded; the running one stays in force");
            told
        })?;
        self.logs.configured(&config);
        (self.apply_level)(config.log_level);
        let waiting = self.started_with.needs_restart(&config);
        if waiting.is_empty() {
            tracing::info!("configuration reloaded");
        } else {
            tracing::warn!(settings = waiting.join(", "), "configuration reloaded; these settings need a restart");
        }
        Ok(())
    }

    async fn report(&self, successful: bool) {
        let reload = Observation::Reload(Reload { successful, at: SystemTime::now() });
        if self.sink.send(reload).await.is_err() {
            tracing::debug!("the hub has stopped");
        }
    }
}
