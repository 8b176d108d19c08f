//! A JSON number as it stands in its text, and the conversions that lose nothing.

use super::flag::Flag;

/// A validated JSON number: its exact text, of any size and precision.
#[derive(Clone, Copy, Debug)]
pub struct Num<'b> {
    raw: &'b str,
    integer: Flag,
}

impl<'b> Num<'b> {
    /// `raw` must match RFC 8259's `number`; `integer` says that it has neither fraction nor exponent.
    #[inline]
    pub(super) fn new(raw: &'b str, integer: bool) -> Self {
        Self {
            raw,
            integer: Flag::new(integer),
        }
    }

    /// The number exactly as sent.
    #[inline]
    pub fn raw(&self) -> &'b str {
        self.raw
    }

    /// Whether it is written as an integer: no fraction, no exponent.
    #[inline]
    pub fn is_integer(&self) -> bool {
        self.integer.is_yes()
    }

    /// The value, if it is written as an integer and fits.
    pub fn as_u64(&self) -> Option<u64> {
        if !self.is_integer() {
            return None;
        }
        match self.raw.strip_prefix('-') {
            Some("0") => Some(0),
            Some(_) => None,
            None => self.raw.parse().ok(),
        }
    }

    /// The value, if it is written as an integer and fits.
    pub fn as_i64(&self) -> Option<i64> {
        if !self.is_integer() {
            return None;
        }
        self.raw.parse().ok()
    }

    /// The nearest double; infinite where the magnitude exceeds every double.
    pub fn as_f64(&self) -> f64 {
        // The grammar is a subset of what `parse` takes, so the fallback is never used.
        self.raw.parse().unwrap_or(f64::NAN)
    }

    /// The value, if it is mathematically an integer however it is written (`1.0`, `1e2`) and fits.
    ///
    /// Source: JSON Schema, `integer`: a number with a zero fraction.
    pub fn as_i64_integral(&self) -> Option<i64> {
        if self.is_integer() {
            return self.as_i64();
        }
        let (negative, magnitude) = self.integral()?;
        let magnitude = i128::from(magnitude);
        i64::try_from(if negative { -magnitude } else { magnitude }).ok()
    }

    /// The value, if it is mathematically a non-negative integer however it is written and fits.
    ///
    /// Source: JSON Schema, `integer`: a number with a zero fraction.
    pub fn as_u64_integral(&self) -> Option<u64> {
        if self.is_integer() {
            return self.as_u64();
        }
        match self.integral()? {
            (true, magnitude) if magnitude != 0 => None,
            (_, magnitude) => Some(magnitude),
        }
    }

    /// Sign and magnitude of a number that is mathematically an integer below 2^64.
    ///
    /// Works on the digits, so that `9007199254740993.0` keeps its last one; linear in the text, whatever the
    /// exponent says.
    fn integral(&self) -> Option<(bool, u64)> {
        let (negative, text) = match self.raw.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, self.raw),
        };
        let (significand, exponent) = match text.split_once(['e', 'E']) {
            Some((significand, exponent)) => (significand, parse_exponent(exponent)),
            None => (text, 0),
        };
        let (whole, fraction) = significand.split_once('.').unwrap_or((significand, ""));
        let fraction = fraction.trim_end_matches('0');
        let whole = whole.trim_start_matches('0');
        if whole.is_empty() && fraction.is_empty() {
            return Some((negative, 0));
        }
        // value = (whole ++ fraction) × 10^shift
        let shift = exponent.saturating_sub(i64::try_from(fraction.len()).ok()?);
        let digits = || whole.bytes().chain(fraction.bytes());
        let count = whole.len() + fraction.len();
        let (kept, zeros) = if shift >= 0 {
            (count, usize::try_from(shift).ok()?)
        } else {
            let dropped = usize::try_from(shift.unsigned_abs()).ok()?;
            let kept = count.checked_sub(dropped)?;
            if digits().skip(kept).any(|digit| digit != b'0') {
                return None;
            }
            (kept, 0)
        };
        let mut magnitude = 0u64;
        for digit in digits().take(kept) {
            magnitude = magnitude
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))?;
        }
        if magnitude == 0 {
            return Some((negative, 0));
        }
        magnitude = magnitude.checked_mul(10u64.checked_pow(u32::try_from(zeros).ok()?)?)?;
        Some((negative, magnitude))
    }
}

/// An exponent of any length, saturated far beyond what any text's digits can outweigh.
fn parse_exponent(text: &str) -> i64 {
    const FAR: i64 = i64::MAX / 4;
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut value = 0i64;
    for &digit in digits {
        value = (value
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0')))
        .min(FAR);
    }
    if negative { -value } else { value }
}
