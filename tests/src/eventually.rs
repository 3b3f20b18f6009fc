//! Waiting for conditions.

use crate::outcome::{failed, Outcome};
use std::thread;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Asks `condition` again and again until it answers Some. `what` and the limit are the reason of the failure.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(found) = condition()? {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            return failed(format!("not within {} s: {what}", limit.as_secs()));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The same for a condition that is only true or false.
pub fn eventually_true(what: &str, limit: Duration, mut condition: impl FnMut() -> Outcome<bool>) -> Outcome {
    eventually(what, limit, || Ok(condition()?.then_some(())))
}

/// Waits until an answer stays the same for so long.
pub fn settled<T: PartialEq>(
    what: &str,
    span: Duration,
    limit: Duration,
    mut answer: impl FnMut() -> Outcome<T>,
) -> Outcome<T> {
    let (mut since, mut last) = (Instant::now(), answer()?);
    eventually(what, limit, || {
        let now = answer()?;
        if now != last {
            (since, last) = (Instant::now(), now);
        }
        Ok((since.elapsed() >= span).then_some(()))
    })?;
    Ok(last)
}

/// Asks again and again for so long; fails as soon as the condition does.
pub fn throughout(span: Duration, mut condition: impl FnMut() -> Outcome) -> Outcome {
    let start = Instant::now();
    while start.elapsed() < span {
        condition()?;
        thread::sleep(FIRST_PAUSE);
    }
    condition()
}
