//! What engines send on standard input: one JSON object, of bounded size, that need not be well meant.

use std::io::{self, Read};

use serde_json::{Map, Value};

/// Far more than any engine sends.
const LARGEST: u64 = 1024 * 1024;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// Why there is no object.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be read, or there is too much of it.
    #[error("standard input cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It is not JSON.
    #[error("standard input is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// It is something else in JSON.
    #[error("standard input is JSON, but not an object")]
    NotAnObject,
}

/// A key with a value that it cannot have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key:?} must be {wanted}")]
pub(crate) struct Wrong {
    /// The key.
    pub key: &'static str,
    /// What it may be.
    pub wanted: &'static str,
}

/// Reads all of it.
pub(crate) fn read(input: impl Read) -> Result<Object, Error> {
    let mut bytes = Vec::new();
    input.take(LARGEST + 1).read_to_end(&mut bytes).map_err(Error::Read)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::Read(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB")));
    }
    match serde_json::from_slice(&bytes).map_err(Error::NotJson)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::NotAnObject),
    }
}

/// What stands under a key; null is as good as nothing.
pub(crate) fn get<'a>(object: &'a Object, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// A text; absent, it is empty.
pub(crate) fn text<'a>(object: &'a Object, key: &'static str) -> Result<&'a str, Wrong> {
    let wrong = Wrong { key, wanted: "a string" };
    get(object, key).map_or(Ok(""), |value| value.as_str().ok_or(wrong))
}

/// A number from 0 on; absent, it is 0.
pub(crate) fn number(object: &Object, key: &'static str) -> Result<u32, Wrong> {
    let wrong = Wrong { key, wanted: "a number from 0 on" };
    get(object, key)
        .map_or(Ok(0), |value| value.as_u64().and_then(|number| u32::try_from(number).ok()).ok_or(wrong))
}

/// A truth value, if there is one.
pub(crate) fn flag(object: &Object, key: &'static str) -> Result<Option<bool>, Wrong> {
    let wrong = Wrong { key, wanted: "true or false" };
    get(object, key).map(|value| value.as_bool().ok_or(wrong)).transpose()
}

/// An object, if there is one.
pub(crate) fn object<'a>(object: &'a Object, key: &'static str) -> Result<Option<&'a Object>, Wrong> {
    let wrong = Wrong { key, wanted: "an object" };
    get(object, key).map(|value| value.as_object().ok_or(wrong)).transpose()
}

/// A list; absent, it is empty.
pub(crate) fn list<'a>(object: &'a Object, key: &'static str) -> Result<&'a [Value], Wrong> {
    let wrong = Wrong { key, wanted: "a list" };
    get(object, key).map_or(Ok(&[]), |value| value.as_array().map(Vec::as_slice).ok_or(wrong))
}

/// A list of texts; absent, it is empty.
pub(crate) fn texts(object: &Object, key: &'static str) -> Result<Vec<String>, Wrong> {
    strings(key, get(object, key))
}

/// [`texts`] for what stands under a key.
pub(crate) fn strings(key: &'static str, value: Option<&Value>) -> Result<Vec<String>, Wrong> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let texts = |value: &Value| value.as_array()?.iter().map(text).collect();
    value.map_or(Some(Vec::new()), texts).ok_or(Wrong { key, wanted: "a list of strings" })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_objects_of_bounded_size() {
        assert_eq!(read(&br#"{"a":1}"#[..]).unwrap()["a"], 1);
        let error = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert_eq!(error(b"[]"), "standard input is JSON, but not an object");
        assert!(error(b"").starts_with("standard input is not JSON: EOF"));
        assert!(error(b"{").starts_with("standard input is not JSON: EOF"));
        assert!(error("[".repeat(100_000).as_bytes()).contains("recursion limit"));
        assert!(error(&vec![b' '; 1024 * 1024 + 1]).ends_with("it is longer than 1 MiB"));
        assert!(error(b"{\"a\":\"\xff\"}").starts_with("standard input is not JSON"));
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        let value = json!({ "t": "x", "n": 5, "l": ["x"], "o": {}, "null": null, "big": 4_294_967_296u64 });
        let object_ = value.as_object().unwrap();
        assert_eq!(
            (text(object_, "t"), text(object_, "null"), text(object_, "absent")),
            (Ok("x"), Ok(""), Ok(""))
        );
        assert_eq!((number(object_, "n"), number(object_, "null")), (Ok(5), Ok(0)));
        assert_eq!(texts(object_, "l").unwrap(), ["x"]);
        assert!(object(object_, "o").unwrap().is_some() && object(object_, "null").unwrap().is_none());
        assert_eq!(text(object_, "n").unwrap_err().to_string(), "\"n\" must be a string");
        assert_eq!(number(object_, "big").unwrap_err().to_string(), "\"big\" must be a number from 0 on");
        assert!(list(object_, "t").is_err() && object(object_, "l").is_err() && texts(object_, "o").is_err());
    }
}
