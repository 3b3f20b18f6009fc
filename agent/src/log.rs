//! The log: one line per event on standard error, in the form that journald likes if it listens.

use crate::clock::Timestamp;
use nix::sys::stat::fstat;
use std::env;
use std::fmt;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::EnvFilter;

/// The target of errors that are critical, a level that tracing does not have.
pub const CRITICAL: &str = "critical";

/// Starts logging to standard error. `RUST_LOG` chooses what is logged; `info` without it.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .event_format(Line::for_stderr())
        .try_init();
    if let Err(error) = started {
        eprintln!("logging is already set up: {error}");
    }
}

/// How a line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Time and level.
    Plain,
    /// The priority as `<N>`; journald adds the time.
    Journal,
}

impl Line {
    fn for_stderr() -> Self {
        let stream = env::var("JOURNAL_STREAM").ok();
        let inode = fstat(std::io::stderr()).ok().map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
        match stream.is_some() && stream == inode {
            true => Line::Journal,
            false => Line::Plain,
        }
    }

    fn begin(self, writer: &mut Writer<'_>, metadata: &Metadata<'_>) -> fmt::Result {
        let level = metadata.level();
        match (self, metadata.target()) {
            (Line::Plain, CRITICAL) => write!(writer, "{} CRITICAL ", Timestamp::now()),
            (Line::Plain, _) => write!(writer, "{} {level} ", Timestamp::now()),
            (Line::Journal, CRITICAL) => writer.write_str("<2>"),
            (Line::Journal, _) => write!(writer, "<{}>", priority(*level)),
        }
    }
}

/// The priority of syslog (RFC 5424 section 6.2.1).
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        self.begin(&mut writer, event.metadata())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// A subscriber that writes plain lines to `writer`, for tests and tools.
pub fn plain_lines<W>(writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .fmt_fields(DefaultFields::new())
        .with_ansi(false)
        .with_writer(writer)
        .event_format(Line::Journal)
        .finish()
}
