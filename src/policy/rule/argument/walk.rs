//! One pass over the arguments for all conditions of all rules.

use serde_json::{Map, Value};

use super::matcher::Scalar;
use super::number::Number;
use super::{Pointer, Segment, Test, Truth};
use crate::limits::RULE_ARGUMENT_KEYS_MAX;
use crate::policy::rule::spec::{Effect, Matcher};
use crate::wire::json::{DEPTH_CAP, JsonError, Kind, Reader};

/// Conditions whose findings need no allocation.
const INLINE_TESTS: usize = 64;

/// Which bit says what was found of a condition.
const YES: u8 = 1;
const NO: u8 = 2;
const UNSURE: u8 = 4;

/// Every condition on arguments, as a tree of the keys that lead to them.
#[derive(Clone, Debug)]
pub(in crate::policy::rule) struct Plan {
    nodes: Vec<Node>,
    tests: Vec<Test>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    children: Vec<(Box<str>, usize)>,
    each: Option<usize>,
    tests: Vec<usize>,
}

impl Node {
    /// Whether nothing is asked of what stands here, or below.
    fn is_empty(&self) -> bool {
        self.tests.is_empty() && self.children.is_empty() && self.each.is_none()
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            tests: Vec::new(),
        }
    }
}

impl Plan {
    /// Adds a condition, and gives its number; none where one object would have too many keys to look for.
    pub(in crate::policy::rule) fn add(
        &mut self,
        pointer: &Pointer,
        matcher: &Matcher,
    ) -> Option<usize> {
        let mut at = 0;
        for segment in pointer.segments() {
            at = self.step(at, segment)?;
        }
        let number = self.tests.len();
        self.tests.push(Test::new(matcher));
        self.nodes[at].tests.push(number);
        Some(number)
    }

    fn step(&mut self, from: usize, segment: &Segment) -> Option<usize> {
        let next = self.nodes.len();
        let node = &mut self.nodes[from];
        match segment {
            Segment::Each => match node.each {
                Some(known) => return Some(known),
                None => node.each = Some(next),
            },
            Segment::Key(key) => {
                if let Some((_, known)) = node.children.iter().find(|(known, _)| known == key) {
                    return Some(*known);
                }
                if node.children.len() >= RULE_ARGUMENT_KEYS_MAX {
                    return None;
                }
                node.children.push((key.clone(), next));
            }
        }
        self.nodes.push(Node::default());
        Some(next)
    }

    /// Reads an arguments' text, an object, for all conditions at once.
    pub(in crate::policy::rule) fn read(&self, arguments: &[u8]) -> Findings {
        let mut findings = Findings::new(self.tests.len());
        let mut reader = Reader::new(arguments, DEPTH_CAP);
        let read = self
            .visit(&mut reader, 0, &mut findings)
            .and_then(|()| reader.end());
        if read.is_err() {
            // It was validated before, so this does not happen; if it does, nobody knows what it says.
            self.doubt(0, &mut findings);
        }
        findings
    }

    fn visit(
        &self,
        reader: &mut Reader<'_>,
        node: usize,
        findings: &mut Findings,
    ) -> Result<(), JsonError> {
        let node = &self.nodes[node];
        let kind = reader.peek()?;
        match kind {
            Kind::Object | Kind::Array => {
                for test in &node.tests {
                    findings.note(*test, self.tests[*test].on_container());
                }
                let is_leaf = node.children.is_empty() && node.each.is_none();
                match kind {
                    _ if is_leaf => reader.skip().map(drop),
                    Kind::Object => self.object(reader, node, findings),
                    _ => self.array(reader, node, findings),
                }
            }
            Kind::String => {
                let text = reader.string()?;
                if !node.is_empty() {
                    let text = text.to_cow();
                    self.scalar(node, Scalar::Text(&text), findings);
                    // Some readers take a text for the JSON that it holds, where they expect an object or a list.
                    if text.trim_start().starts_with(['{', '[']) {
                        self.doubt_below(node, findings);
                    }
                }
                Ok(())
            }
            Kind::Number => {
                let number = reader.number()?;
                if !node.is_empty() {
                    self.scalar(node, Scalar::Number(Number::of(number)), findings);
                }
                Ok(())
            }
            Kind::True | Kind::False => {
                let value = reader.boolean()?;
                self.scalar(node, Scalar::Boolean(value), findings);
                Ok(())
            }
            Kind::Null => {
                reader.null()?;
                self.scalar(node, Scalar::Null, findings);
                Ok(())
            }
        }
    }

    fn scalar(&self, node: &Node, value: Scalar<'_>, findings: &mut Findings) {
        for test in &node.tests {
            findings.note(*test, self.tests[*test].on_scalar(value));
        }
        // Some readers take one value for a list of it.
        let each = node.each.map(|each| &self.nodes[each].tests);
        for test in each.into_iter().flatten() {
            if self.tests[*test].on_scalar(value) != Truth::No {
                findings.note(*test, Truth::Unsure);
            }
        }
    }

    fn object(
        &self,
        reader: &mut Reader<'_>,
        node: &Node,
        findings: &mut Findings,
    ) -> Result<(), JsonError> {
        reader.begin_object()?;
        // One bit for each key that stood here already.
        let mut seen = 0_u64;
        while let Some(key) = reader.key()? {
            if let Some(each) = node.each {
                self.visit(&mut reader.clone(), each, findings)?;
            }
            let exact = node.children.iter().position(|(own, _)| key.eq_str(own));
            match exact {
                Some(index) if seen & (1 << index) == 0 => {
                    seen |= 1 << index;
                    self.visit(reader, node.children[index].1, findings)?;
                }
                Some(index) => self.doubt(node.children[index].1, findings),
                None => {
                    for (own, child) in &node.children {
                        if key.is_variant_of(own) {
                            self.doubt(*child, findings);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn array(
        &self,
        reader: &mut Reader<'_>,
        node: &Node,
        findings: &mut Findings,
    ) -> Result<(), JsonError> {
        reader.begin_array()?;
        let mut index = 0_usize;
        while reader.element()? {
            if let Some(each) = node.each {
                self.visit(&mut reader.clone(), each, findings)?;
            }
            // Keys are few, and most are no numbers.
            let is_here = |key: &str| key.parse() == Ok(index) && !key.starts_with('+');
            let child = node.children.iter().find(|(key, _)| is_here(key));
            if let Some((_, child)) = child {
                self.visit(reader, *child, findings)?;
            }
            index += 1;
        }
        Ok(())
    }

    /// Notes that nobody knows what stands here and below.
    fn doubt(&self, node: usize, findings: &mut Findings) {
        let node = &self.nodes[node];
        for test in &node.tests {
            findings.note(*test, Truth::Unsure);
        }
        self.doubt_below(node, findings);
    }

    fn doubt_below(&self, node: &Node, findings: &mut Findings) {
        let below = node.children.iter().map(|(_, child)| *child);
        for child in below.chain(node.each) {
            self.doubt(child, findings);
        }
    }

    /// Whether a condition holds: of an allow for certain, and everywhere; of a deny perhaps, or somewhere.
    pub(in crate::policy::rule) fn holds(
        &self,
        test: usize,
        findings: &Findings,
        effect: Effect,
    ) -> bool {
        let found = findings.get(test);
        let (yes, no, unsure) = (found & YES != 0, found & NO != 0, found & UNSURE != 0);
        if self.tests[test].wants_absence() {
            return match effect {
                Effect::Allow => found == 0,
                Effect::Deny => found == 0 || unsure,
            };
        }
        match effect {
            Effect::Allow => yes && !no && !unsure,
            Effect::Deny => yes || unsure,
        }
    }
}

/// What was found of each condition: nothing, if there is no such value.
pub(in crate::policy::rule) struct Findings {
    few: [u8; INLINE_TESTS],
    many: Vec<u8>,
}

impl Findings {
    fn new(tests: usize) -> Self {
        let many = match tests > INLINE_TESTS {
            true => vec![0; tests],
            false => Vec::new(),
        };
        Self {
            few: [0; INLINE_TESTS],
            many,
        }
    }

    fn get(&self, test: usize) -> u8 {
        match self.many.is_empty() {
            true => self.few[test],
            false => self.many[test],
        }
    }

    fn note(&mut self, test: usize, truth: Truth) {
        let found = match self.many.is_empty() {
            true => &mut self.few[test],
            false => &mut self.many[test],
        };
        *found |= match truth {
            Truth::Yes => YES,
            Truth::No => NO,
            Truth::Unsure => UNSURE,
        };
    }
}

/// Whether the claims meet a condition.
pub(in crate::policy::rule) fn claims(
    claims: &Map<String, Value>,
    pointer: &Pointer,
    test: &Test,
) -> bool {
    let mut found = Vec::new();
    if let Some((Segment::Key(first), rest)) = pointer.segments().split_first()
        && let Some(value) = claims.get(&**first)
    {
        collect(value, rest, &mut found);
    }
    if test.wants_absence() {
        return found.is_empty();
    }
    found.into_iter().any(|value| match value {
        Value::Array(elements) => {
            elements.iter().any(|one| on_value(test, one) == Truth::Yes)
                || test.on_container() == Truth::Yes
        }
        one => on_value(test, one) == Truth::Yes,
    })
}

fn collect<'v>(value: &'v Value, segments: &[Segment], found: &mut Vec<&'v Value>) {
    let Some((first, rest)) = segments.split_first() else {
        found.push(value);
        return;
    };
    match (first, value) {
        (Segment::Key(key), Value::Object(members)) => {
            if let Some(value) = members.get(&**key) {
                collect(value, rest, found);
            }
        }
        (Segment::Key(key), Value::Array(elements)) => {
            if let Some(value) = key.parse().ok().and_then(|at: usize| elements.get(at)) {
                collect(value, rest, found);
            }
        }
        (Segment::Each, Value::Object(members)) => {
            members
                .values()
                .for_each(|value| collect(value, rest, found));
        }
        (Segment::Each, Value::Array(elements)) => {
            elements
                .iter()
                .for_each(|value| collect(value, rest, found));
        }
        _ => {}
    }
}

fn on_value(test: &Test, value: &Value) -> Truth {
    test.on_scalar(match value {
        Value::Null => Scalar::Null,
        Value::Bool(value) => Scalar::Boolean(*value),
        Value::String(text) => Scalar::Text(text),
        Value::Number(number) => Scalar::Number(Number::of_value(number)),
        Value::Array(_) | Value::Object(_) => return test.on_container(),
    })
}
