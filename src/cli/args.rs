//! The arguments. Those of `serve` follow from [`settings`]; the others stand here.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};

use crate::config::settings::{self, Setting, Takes};
use crate::config::{Given, Source};

/// Tells why nginx answers 502, 503 or 504, while it happens: follows its error log, classifies every entry and serves
/// the counters to Prometheus.
#[derive(Debug, Parser)]
#[command(name = "nginx-502-exporter", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    /// The exporter, when no command is named.
    #[command(flatten)]
    pub serve: ServeArgs,
    /// Anything else.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  nginx-502-exporter
  nginx-502-exporter --nginx.error-log='/srv/*/logs/error.log' --web.listen-address=127.0.0.1:9999
  nginx-502-exporter --config.file=/etc/nginx-502-exporter.yml --config.check
  tail -n 20 /var/log/nginx/error.log | nginx-502-exporter explain
  nginx-502-exporter replay /var/log/nginx/error.log*

A flag overrules its environment variable, that the configuration file, and that the default.
In the file, --web.listen-address is the key `listen_address` below `web`, and so on.

Exit codes: 0 good, 1 failed while running, 2 wrong usage or configuration.";

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Follow the logs and serve metrics; what happens when no command is named
    #[command(
        after_help = "Exit codes: 0 stopped by a signal, 1 failed while running, 2 wrong usage or configuration."
    )]
    Serve(ServeArgs),
    /// Explain log lines: what happened, what the client saw, what to check first, how to fix it
    Explain(ExplainArgs),
    /// Read whole logs and count what is in them, by class and upstream, with first and last time
    Replay(ReplayArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  nginx-502-exporter completions bash > /etc/bash_completion.d/nginx-502-exporter"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  nginx-502-exporter man | man -l -")]
    Man {
        /// The page of this command, instead of the main page
        command: Option<String>,
    },
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 good, 1 no line was understood, 2 wrong usage.")]
pub struct ExplainArgs {
    /// Log lines, quoted, one per argument; read from standard input when there are none
    #[arg(value_name = "LINE", allow_hyphen_values = true)]
    pub lines: Vec<OsString>,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 good, 1 a log could not be read to its end, 2 wrong usage.")]
pub struct ReplayArgs {
    /// Logs, plain or gzip; `-` is standard input
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// How to print what was found
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        env = "NGINX_502_EXPORTER_FORMAT",
        hide_env_values = true
    )]
    pub format: ReplayFormat,
}

/// How `replay` prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReplayFormat {
    /// A table
    #[default]
    Text,
    /// The table as one JSON object
    Json,
    /// One JSON object per log entry
    Ndjson,
}

/// Arguments of `serve`: one for every setting.
#[derive(Debug)]
pub struct ServeArgs {
    /// The configuration they lead to.
    pub source: Source,
}

/// The settings that are flags, in the order of the help.
fn flags() -> impl Iterator<Item = &'static Setting> {
    [&settings::CONFIG_FILE, &settings::CONFIG_CHECK].into_iter().chain(settings::ALL.iter().copied())
}

impl Args for ServeArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(flags().map(argument))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Given::default();
        for setting in flags() {
            let values = || matches.get_many::<OsString>(setting.name).into_iter().flatten().map(OsString::as_os_str);
            match matches.value_source(setting.name) {
                Some(ValueSource::CommandLine) => given.flag(setting, values()),
                Some(ValueSource::EnvVariable) => values().for_each(|value| given.environment(setting, value)),
                _ => {}
            }
        }
        Ok(Self { source: Source::new(given) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let argument = Arg::new(setting.name)
        .long(setting.name)
        .env(setting.environment())
        .hide_env_values(true)
        .value_name(setting.value_name)
        .value_parser(Text { choices: setting.choices })
        .value_hint(hint(setting))
        .help(setting.help)
        .help_heading(heading(setting));
    match setting.takes {
        Takes::One => argument.default_values(setting.default),
        Takes::Many => argument.default_values(setting.default).action(ArgAction::Append),
        Takes::Switch => {
            argument.num_args(0..=1).require_equals(true).default_missing_value("true").hide_possible_values(true)
        }
    }
}

fn hint(setting: &Setting) -> ValueHint {
    match setting.value_name {
        "FILE" => ValueHint::FilePath,
        "DIR" => ValueHint::DirPath,
        _ => ValueHint::Unknown,
    }
}

fn heading(setting: &Setting) -> &'static str {
    match setting.name.split('.').next() {
        Some("config") => "Configuration",
        Some("nginx") => "What to follow",
        Some("log") => "Logs, the followed ones and our own",
        Some("web") => "Web",
        Some("path") => "Host",
        _ => "Limits",
    }
}

/// Any text: [`Source::load`] checks all of it at once. The choices are for help and completion only.
#[derive(Clone)]
struct Text {
    choices: &'static [&'static str],
}

impl TypedValueParser for Text {
    type Value = OsString;

    fn parse_ref(&self, _: &clap::Command, _: Option<&Arg>, value: &OsStr) -> Result<OsString, clap::Error> {
        Ok(value.to_owned())
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        if self.choices.is_empty() {
            return None;
        }
        Some(Box::new(self.choices.iter().map(PossibleValue::new)))
    }
}
