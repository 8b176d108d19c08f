//! Errors.

use std::borrow::Cow;

use super::object::{Fate, Member, Object};
use crate::mcp::code::{
    HEADER_MISMATCH, INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND,
    MISSING_CLIENT_CAPABILITY, PARSE_ERROR, RESOURCE_NOT_FOUND, UNSUPPORTED_PROTOCOL_VERSION,
};
use crate::mcp::{Era, Method};

/// A page has to be visited first (2025-11-25). The modern era asks for that with a result, and must not use it.
const URL_ELICITATION_REQUIRED: i32 = -32042;

/// An upstream's error object for a client of this era.
///
/// Shape: a resource that does not exist has the era's own code; of a modern upstream's invalid parameters it is that error
/// that names the resource. What the modern era must not say at all is an internal error there.
/// Source: 2026-07-28 server/resources, "Error Handling", and basic/index, "Error Codes".
pub fn error_to(era: Era, method: Method, error: &[u8]) -> Cow<'_, [u8]> {
    let Some(object) = Object::read(error) else {
        return Cow::Borrowed(error);
    };
    let code = object.find("code").and_then(Member::integer);
    let code = code.and_then(|code| i32::try_from(code).ok());
    let new = match (era, code) {
        (Era::Modern, Some(RESOURCE_NOT_FOUND)) => INVALID_PARAMS,
        (Era::Modern, Some(URL_ELICITATION_REQUIRED)) => INTERNAL_ERROR,
        (Era::Legacy, Some(INVALID_PARAMS)) if names_resource(method, &object) => {
            RESOURCE_NOT_FOUND
        }
        _ => return Cow::Borrowed(error),
    };
    let new = new.to_string().into_bytes();
    let fate = |member: &Member<'_>| match member.is("code") {
        true => Fate::Is(Cow::Borrowed(&*new)),
        false => Fate::Keep,
    };
    object.changed(&[], fate, &[])
}

fn names_resource(method: Method, error: &Object<'_>) -> bool {
    let is_about_one = matches!(
        method,
        Method::ReadResource | Method::Subscribe | Method::Unsubscribe
    );
    let data = error.find("data").and_then(Member::object);
    is_about_one && data.is_some_and(|data| data.has("uri"))
}

/// The HTTP status that goes with an error object for a client of this era.
///
/// Source: 2026-07-28 basic/index, "Error Codes".
pub fn error_status(era: Era, error: &[u8]) -> u16 {
    if era == Era::Legacy {
        return 200;
    }
    let code = Object::read(error).and_then(|error| error.find("code")?.integer());
    match code.and_then(|code| i32::try_from(code).ok()) {
        Some(METHOD_NOT_FOUND) => 404,
        Some(
            PARSE_ERROR
            | INVALID_REQUEST
            | HEADER_MISMATCH
            | MISSING_CLIENT_CAPABILITY
            | UNSUPPORTED_PROTOCOL_VERSION,
        ) => 400,
        _ => 200,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(era: Era, method: Method, error: &str) -> String {
        String::from_utf8(error_to(era, method, error.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn an_unknown_resource_has_the_code_of_the_clients_era() {
        let legacy = r#"{"code":-32002,"message":"no","data":{"uri":"a:b","n":1.0}}"#;
        let modern = r#"{"code":-32602,"message":"no","data":{"uri":"a:b","n":1.0}}"#;
        let read = Method::ReadResource;
        assert_eq!(to(Era::Modern, read, legacy), modern);
        assert_eq!(to(Era::Legacy, read, modern), legacy);
        assert_eq!(to(Era::Modern, read, modern), modern);
        assert_eq!(to(Era::Legacy, read, legacy), legacy);
    }

    #[test]
    fn invalid_parameters_stay_what_they_are() {
        for (method, error) in [
            (
                Method::ReadResource,
                r#"{"code":-32602,"message":"uri must be a string"}"#,
            ),
            (
                Method::ReadResource,
                r#"{"code":-32602,"message":"x","data":["uri"]}"#,
            ),
            (
                Method::CallTool,
                r#"{"code":-32602,"message":"x","data":{"uri":"a:b"}}"#,
            ),
            (
                Method::ReadResource,
                r#"{"code":-32601,"message":"x","data":{"uri":"a:b"}}"#,
            ),
            (
                Method::ReadResource,
                r#"{"code":-32602.0,"data":{"uri":"a:b"}}"#,
            ),
            (
                Method::ReadResource,
                r#"{"code":-4294999898,"data":{"uri":"a:b"}}"#,
            ),
            (Method::ReadResource, "[-32602]"),
        ] {
            assert_eq!(to(Era::Legacy, method, error), error);
        }
    }

    #[test]
    fn the_modern_era_never_says_what_it_must_not() {
        for method in Method::all() {
            for code in [RESOURCE_NOT_FOUND, URL_ELICITATION_REQUIRED] {
                let error = format!(r#"{{"message":"x","code":{code}}}"#);
                assert!(!to(Era::Modern, method, &error).contains(&code.to_string()));
            }
        }
    }

    #[test]
    fn an_error_has_the_status_of_its_code_in_the_modern_era_alone() {
        for (error, modern) in [
            (r#"{"code":-32601,"message":"x"}"#, 404),
            (r#"{"message":"x","code": -32021,"data":{}}"#, 400),
            (r#"{"code":-32020}"#, 400),
            (r#"{"code":-32022}"#, 400),
            (r#"{"code":-32600}"#, 400),
            (r#"{"code":-32602}"#, 200),
            (r#"{"code":7,"message":"\"code\":-32601"}"#, 200),
            (r#"{"code":"-32601"}"#, 200),
            ("{}", 200),
            ("", 200),
        ] {
            assert_eq!(
                error_status(Era::Modern, error.as_bytes()),
                modern,
                "{error}"
            );
            assert_eq!(error_status(Era::Legacy, error.as_bytes()), 200, "{error}");
        }
    }
}
