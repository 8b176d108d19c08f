//! How a time is written.

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
    let parts = [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (hour, 2, b':'),
        (minute, 2, b':'),
        (second, 2, b'.'),
        (milli, 3, b'Z'),
    ];
    for (number, width, end) in parts {
        let mut scale = 10_u64.pow(width - 1);
        while scale > 0 {
            // One digit each: below 10.
            out.push(b'0' + (number / scale % 10) as u8);
            scale /= 10;
        }
        out.push(end);
    }
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
