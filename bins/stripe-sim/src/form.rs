//! Decodes `application/x-www-form-urlencoded` with nested brackets, strictly: what is not valid
//! encoding is refused and never repaired. It must not know any parameter's meaning.

use std::collections::BTreeMap;

use crate::errors::ApiError;

/// More parameters than any customer can have.
const PARAMS_MAX: usize = 1_000;
/// Deeper than any parameter Stripe knows.
const DEPTH_MAX: usize = 6;

/// A decoded parameter: text, or members by name (list items by index).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Node {
    Text(String),
    Map(BTreeMap<String, Node>),
}

/// The decoded parameters of one request.
#[derive(Clone, Debug, Default)]
pub struct Form {
    pub root: BTreeMap<String, Node>,
    /// As they were sent, in order, names with brackets.
    pub flat: Vec<(String, String)>,
}

impl Form {
    /// Adds the parameters of one query string or body.
    pub fn add(&mut self, encoded: &[u8]) -> Result<(), ApiError> {
        for pair in encoded.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let name = decode(&pair[..at])?;
            let value = decode(pair.get(at + 1..).unwrap_or_default())?;
            if self.flat.len() == PARAMS_MAX {
                return Err(ApiError::invalid("Too many parameters."));
            }
            let path = split_name(&name);
            if path.len() > DEPTH_MAX {
                return Err(ApiError::invalid("Parameters are nested too deeply.").param(&name));
            }
            insert(&mut self.root, &path, &value).map_err(|()| {
                ApiError::invalid(format!("Invalid parameter: {name}")).param(&name)
            })?;
            self.flat.push((name, value));
        }
        Ok(())
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        self.root.get(name).map(|node| node.text(name)).transpose()
    }

    /// Refuses whatever is not in `known`, as Stripe does, naming all of it.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        only(&self.root, known, "")
    }

    /// The request's content for comparing: order does not matter.
    pub fn canonical(&self) -> String {
        let mut sorted: Vec<_> = self.flat.iter().collect();
        sorted.sort();
        format!("{sorted:?}")
    }
}

impl Node {
    pub fn text(&self, param: &str) -> Result<&str, ApiError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Map(_) => Err(ApiError::invalid(format!("Invalid string: {param}")).param(param)),
        }
    }

    pub fn map(&self, param: &str) -> Result<&BTreeMap<String, Node>, ApiError> {
        match self {
            Self::Map(map) => Ok(map),
            Self::Text(_) => Err(ApiError::invalid("Invalid object").param(param)),
        }
    }

    /// The items of a list in the order of their indexes.
    pub fn list(&self, param: &str) -> Result<Vec<&Node>, ApiError> {
        let bad = || ApiError::invalid("Invalid array").param(param);
        let mut items = Vec::new();
        for (index, node) in self.map(param).map_err(|_| bad())? {
            items.push((index.parse::<usize>().map_err(|_| bad())?, node));
        }
        items.sort_by_key(|(index, _)| *index);
        Ok(items.into_iter().map(|(_, node)| node).collect())
    }

    pub fn is_empty_text(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_empty())
    }
}

/// Refuses members of a hash that are not in `known`.
pub fn only(map: &BTreeMap<String, Node>, known: &[&str], parent: &str) -> Result<(), ApiError> {
    let unknown: Vec<String> = map
        .keys()
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| if parent.is_empty() { name.clone() } else { format!("{parent}[{name}]") })
        .collect();
    let Some(first) = unknown.first() else { return Ok(()) };
    let plural = if unknown.len() == 1 { "" } else { "s" };
    let all = unknown.join(", ");
    Err(ApiError::invalid(format!("Received unknown parameter{plural}: {all}"))
        .code("parameter_unknown")
        .param(first))
}

fn insert(map: &mut BTreeMap<String, Node>, path: &[&str], value: &str) -> Result<(), ()> {
    let Some((first, rest)) = path.split_first() else { return Err(()) };
    // `a[]=x` appends: its index is the number of items so far.
    let key = if first.is_empty() { map.len().to_string() } else { (*first).to_owned() };
    if rest.is_empty() {
        // A name given twice: the last one counts, but a text cannot replace a hash.
        if matches!(map.get(&key), Some(Node::Map(_))) {
            return Err(());
        }
        map.insert(key, Node::Text(value.to_owned()));
        return Ok(());
    }
    match map.entry(key).or_insert_with(|| Node::Map(BTreeMap::new())) {
        Node::Map(inner) => insert(inner, rest, value),
        Node::Text(_) => Err(()),
    }
}

/// `a[b][c]` is a, b, c; a name whose brackets do not match is one (unknown) name.
fn split_name(name: &str) -> Vec<&str> {
    let Some((first, rest)) = name.split_once('[') else { return vec![name] };
    let Some(inner) = rest.strip_suffix(']') else { return vec![name] };
    if first.is_empty() {
        return vec![name];
    }
    let mut path = vec![first];
    path.extend(inner.split("]["));
    if path.iter().any(|part| part.contains(['[', ']'])) {
        return vec![name];
    }
    path
}

/// Undoes percent-encoding and `+`; a broken escape or text that is not UTF-8 is an error.
pub fn decode(encoded: &[u8]) -> Result<String, ApiError> {
    let bad = || ApiError::invalid("Invalid form encoding.");
    let mut out = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| (*b as char).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else { return Err(bad()) };
                out.push((high * 16 + low) as u8);
            }
            byte => out.push(*byte),
        }
    }
    let text =
        String::from_utf8(out).map_err(|_| ApiError::invalid("Invalid UTF-8 in a parameter."))?;
    if text.contains('\0') {
        return Err(bad());
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on has failed
mod tests {
    use super::*;

    fn form(text: &str) -> Result<Form, ApiError> {
        let mut form = Form::default();
        form.add(text.as_bytes()).map(|()| form)
    }

    #[test]
    fn brackets_nest_raw_or_encoded_and_a_plus_is_a_blank() {
        let form = form("address%5Bline1%5D=a+b&metadata[k%20x]=%2B1&n=").unwrap();
        let address = form.root["address"].map("address").unwrap();
        assert_eq!(address["line1"], Node::Text("a b".into()));
        assert_eq!(form.flat[1], ("metadata[k x]".into(), "+1".into()));
        assert_eq!(form.text("n").unwrap(), Some(""));
    }

    #[test]
    fn lists_come_with_or_without_indexes() {
        for text in ["l[0]=a&l[1]=b", "l[]=a&l[]=b", "l[1]=b&l[0]=a"] {
            let form = form(text).unwrap();
            let items: Vec<_> =
                form.root["l"].list("l").unwrap().iter().map(|n| n.text("l").unwrap()).collect();
            assert_eq!(items, ["a", "b"], "{text}");
        }
    }

    #[test]
    fn broken_encoding_is_refused() {
        for text in ["a=%4", "a=%zz", "a=%ff", "a=1&a[b]=2", "a[b]=2&a=1", "a=%00"] {
            assert!(form(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_with_odd_brackets_are_unknown_names() {
        for name in ["metadata[a[b]]", "[a]", "a[b", "a]b"] {
            let form = form(&format!("{name}=1")).unwrap();
            assert_eq!(
                form.only(&["metadata", "a"]).unwrap_err().code.as_deref(),
                Some("parameter_unknown"),
                "{name}"
            );
        }
    }
}
