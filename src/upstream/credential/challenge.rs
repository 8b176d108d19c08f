//! `WWW-Authenticate`, as far as it is about bearer tokens.

/// What an upstream says when it does not take a request's credential.
///
/// Source: RFC 9110 11.6.1, RFC 6750 3, RFC 9728 5.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the resource's document is.
    pub resource_metadata: Option<String>,
    /// The scopes that the request needs, as they stand.
    pub scope: Option<String>,
    /// The error's code.
    pub error: Option<String>,
}

impl Challenge {
    /// Reads the first challenge for bearer tokens in a field's value; none where there is none that can be read.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut rest = Rest(text);
        while !rest.0.is_empty() {
            rest.skip(|letter| letter == ',' || is_space(letter));
            let scheme = rest.token()?;
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            rest.skip(is_space);
            let challenge = rest.parameters()?;
            if is_bearer {
                return Some(challenge);
            }
        }
        None
    }

    /// Whether it says that the token lacks scopes.
    pub fn is_insufficient(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

fn is_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter)
}

/// What is not read yet.
struct Rest<'t>(&'t str);

impl<'t> Rest<'t> {
    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(what);
    }

    fn token(&mut self) -> Option<&'t str> {
        let end = self.0.find(|letter| !is_token(letter));
        let (token, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// The parameters up to the next challenge. A parameter of interest that stands twice makes it unreadable.
    fn parameters(&mut self) -> Option<Challenge> {
        let mut challenge = Challenge::default();
        loop {
            self.skip(|letter| letter == ',' || is_space(letter));
            let before = self.0;
            let Some(name) = self.token() else {
                return self.0.is_empty().then_some(challenge);
            };
            self.skip(is_space);
            if !self.0.starts_with('=') {
                // A scheme: the next challenge.
                self.0 = before;
                return Some(challenge);
            }
            self.0 = &self.0[1..];
            self.skip(|letter| letter == '=' || is_space(letter));
            if self.0.is_empty() || self.0.starts_with(',') {
                // Padding: a token68.
                continue;
            }
            let value = self.value()?;
            let member = match name.to_ascii_lowercase().as_str() {
                "resource_metadata" => &mut challenge.resource_metadata,
                "scope" => &mut challenge.scope,
                "error" => &mut challenge.error,
                _ => continue,
            };
            if member.replace(value).is_some() {
                return None;
            }
        }
    }

    fn value(&mut self) -> Option<String> {
        if !self.0.starts_with('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut letters = self.0[1..].char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.0 = &self.0[at + 2..];
                    return Some(value);
                }
                '\\' => value.push(letters.next()?.1),
                letter if letter.is_control() && letter != '\t' => return None,
                letter => value.push(letter),
            }
        }
        None
    }
}
