//! Times: what the process's clock says, and how they are written.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time since 1970, which never goes back while the process lives, whatever is done to the host's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    unix_ms: u64,
    started: Instant,
}

impl Clock {
    /// A clock that begins with the host's.
    pub fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            unix_ms: since.map_or(0, millis),
            started: Instant::now(),
        }
    }

    /// Units: milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.unix_ms.saturating_add(millis(self.started.elapsed()))
    }
}

/// A span in milliseconds.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Appends a time in UTC as `2026-07-28T12:00:00.000Z`.
///
/// Units: milliseconds since 1970.
/// Source: RFC 3339; the civil date from a count of days as in Hinnant, "chrono-compatible low-level date algorithms".
pub fn write_iso(out: &mut Vec<u8>, unix_ms: u64) {
    // Later than the year 9999 no text of four digits can tell.
    let unix_ms = unix_ms.min(253_402_300_799_999);
    let (days, of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
    let text =
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_735_689_599_001, "2024-12-31T23:59:59.001Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (1_785_240_000_000, "2026-07-28T12:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            let mut out = Vec::new();
            write_iso(&mut out, unix_ms);
            assert_eq!(String::from_utf8(out).unwrap(), text, "{unix_ms}");
        }
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let mut last = String::new();
        for day in 0..60_000_u64 {
            let mut out = Vec::new();
            write_iso(&mut out, day * 86_400_000);
            let text = String::from_utf8(out).unwrap();
            assert!(text > last, "{text} after {last}");
            let month: u32 = text[5..7].parse().unwrap();
            let date: u32 = text[8..10].parse().unwrap();
            assert!(
                (1..=12).contains(&month) && (1..=31).contains(&date),
                "{text}"
            );
            last = text;
        }
    }
}
