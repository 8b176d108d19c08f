//! Numbers by value, whoever wrote them.

use std::cmp::Ordering;

use crate::wire::json::Num;

/// Digits below which two different decimals are two different doubles.
const EXACT_DIGITS_MAX: usize = 15;

/// Whole numbers up to here are doubles exactly: 2^53.
const WHOLE_DOUBLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A number, so that 42, 42.0 and 4.2e1 are one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// A whole one of at most 64 bits.
    Whole(i128),
    /// Any other as the nearest double, and whether that is exact enough to be told from its neighbours.
    Double(f64, bool),
}

impl Number {
    pub(super) fn of(number: Num<'_>) -> Self {
        let whole = number.as_i64_integral().map(i128::from);
        match whole.or_else(|| number.as_u64_integral().map(i128::from)) {
            Some(whole) => Self::Whole(whole),
            None => {
                let raw = number.raw();
                let digits = raw.bytes().filter(u8::is_ascii_digit).count();
                let is_plain = digits <= EXACT_DIGITS_MAX && !raw.contains(['e', 'E']);
                Self::Double(number.as_f64(), is_plain)
            }
        }
    }

    /// A number of the operator's, or of a token that was read before.
    pub(super) fn of_double(value: f64) -> Self {
        match value.fract() == 0.0 && value.abs() <= WHOLE_DOUBLE_MAX {
            true => Self::Whole(value as i128),
            false => Self::Double(value, true),
        }
    }

    pub(super) fn of_value(value: &serde_json::Number) -> Self {
        let whole = value.as_i64().map(i128::from);
        match whole.or_else(|| value.as_u64().map(i128::from)) {
            Some(whole) => Self::Whole(whole),
            None => Self::of_double(value.as_f64().unwrap_or(f64::NAN)),
        }
    }

    pub(super) fn as_double(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Double(value, _) => value,
        }
    }

    /// How it compares; none where a double is not precise enough to say.
    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        if let (Self::Whole(one), Self::Whole(two)) = (self, other) {
            return Some(one.cmp(&two));
        }
        let order = self.as_double().partial_cmp(&other.as_double())?;
        let is_exact = |number: Self| match number {
            Self::Whole(whole) => whole.unsigned_abs() <= WHOLE_DOUBLE_MAX as u128,
            Self::Double(_, is_exact) => is_exact,
        };
        // Rounding keeps the order: only of what came out equal is there a doubt.
        match order {
            Ordering::Equal if !is_exact(self) || !is_exact(other) => None,
            order => Some(order),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Reader;

    fn number(text: &str) -> Number {
        Number::of(Reader::from_text(text, 0).number().unwrap())
    }

    #[test]
    fn numbers_are_compared_by_value_and_not_by_their_text() {
        for (one, two) in [
            ("42", "42.0"),
            ("42", "4.2e1"),
            ("-0", "0"),
            ("0.5", "0.50"),
        ] {
            assert_eq!(
                number(one).compare(number(two)),
                Some(Ordering::Equal),
                "{one}"
            );
        }
        let most = Number::of_double(10.0);
        assert_eq!(number("10.5").compare(most), Some(Ordering::Greater));
        assert_eq!(number("1e400").compare(most), Some(Ordering::Greater));
        assert_eq!(number("-1e400").compare(most), Some(Ordering::Less));
        assert_eq!(
            number("18446744073709551615").compare(most),
            Some(Ordering::Greater)
        );
    }

    #[test]
    fn what_rounds_to_the_bound_is_in_doubt() {
        let most = Number::of_double(10.0);
        assert_eq!(number("10.0000000000000000001").compare(most), None);
        let big = number("9007199254740993");
        assert_eq!(
            big.compare(Number::of_double(WHOLE_DOUBLE_MAX)),
            Some(Ordering::Greater)
        );
    }
}
