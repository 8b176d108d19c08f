//! Points in time as people write them: `2030-12-31`, `2030-12-31T12:00:00Z`.
//!
//! Source: RFC 3339, in UTC; H. Hinnant, chrono-compatible low-level date algorithms.

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Reads a date (its first second) or a point in time, in UTC.
///
/// Units: seconds since 1970-01-01 UTC.
pub(crate) fn parse_date(text: &str) -> Option<u64> {
    let number = |from: usize, length: usize| -> Option<u64> {
        let digits = text.get(from..from + length)?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let mark = |at: usize, letters: &[u8]| {
        text.as_bytes()
            .get(at)
            .is_some_and(|byte| letters.contains(byte))
    };
    if !mark(4, b"-") || !mark(7, b"-") {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let midnight = days_before(year, month, day) * DAY;
    match text.len() {
        10 => Some(midnight),
        20 if mark(10, b"Tt") && mark(13, b":") && mark(16, b":") && mark(19, b"Zz") => {
            let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
            let is_time = hour < 24 && minute < 60 && second < 60;
            is_time.then_some(midnight + hour * 3_600 + minute * 60 + second)
        }
        _ => None,
    }
}

/// Writes what [`parse_date`] reads.
pub(crate) fn show_date(unix_s: u64) -> String {
    let (days, rest) = (unix_s / DAY, unix_s % DAY);
    let mut year = 1970 + days / 366;
    while days_before(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 12;
    while days_before(year, month, 1) > days {
        month -= 1;
    }
    let day = days - days_before(year, month, 1) + 1;
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days from 1970-01-01 to this day; `year` is at least 1970.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    // The year begins in March here, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

fn days_of(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_the_calendar_has_them() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1972-02-29", 68_169_600),
            ("2000-03-01", 951_868_800),
            ("2026-11-25T08:30:05Z", 1_795_595_405),
            ("2038-01-19T03:14:07Z", 2_147_483_647),
            ("2100-03-01t00:00:00z", 4_107_542_400),
        ] {
            assert_eq!(parse_date(text), Some(seconds), "{text}");
            assert_eq!(parse_date(&show_date(seconds)), Some(seconds), "{text}");
        }
        for step in 0..40_000 {
            let seconds = step * 54_321;
            assert_eq!(parse_date(&show_date(seconds)), Some(seconds));
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "2030",
            "2030-1-1",
            "2030-13-01",
            "2030-02-29",
            "1969-12-31",
            "2030-12-31T24:00:00Z",
            "2030-12-31T12:00:00",
            "2030-12-31T12:00:00+01:00",
            "2030/12/31",
            "+030-12-31",
            "2030-12-3é",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
