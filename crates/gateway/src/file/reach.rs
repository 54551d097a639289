//! Routes that no request can reach, or that say something different of one request.
//!
//! Only what a single earlier route takes is seen; several that take it together are not.

use super::problem::Problems;
use crate::route::Route;
use std::ops::Range;

/// Tells of each route that an earlier one leaves nothing to, in whole or by a method.
pub fn check(routes: &[Route], spans: &[Range<usize>], problems: &mut Problems<'_>) {
    for (at, (route, span)) in routes.iter().zip(spans).enumerate() {
        for earlier in routes.iter().take(at) {
            if let Some(message) = taken(earlier, route) {
                problems.add(span, message);
                break;
            }
        }
    }
}

/// What `earlier` takes from `route`.
fn taken(earlier: &Route, route: &Route) -> Option<String> {
    let line = earlier.line;
    if !earlier.is_beside(route) {
        return earlier.covers(route).then(|| {
            format!(
                "no request reaches this route: that at line {line} takes all that fit its path"
            )
        });
    }
    if earlier.path != route.path {
        return Some(format!(
            "the route at line {line} has this path in another case: requests to either are refused"
        ));
    }
    match (&earlier.methods, &route.methods) {
        (None, _) => Some(format!(
            "no request reaches this route: that at line {line} takes every method of its path"
        )),
        (Some(_), None) => None,
        (Some(_), Some(methods)) => {
            let taken: Vec<&str> = methods
                .iter()
                .map(String::as_str)
                .filter(|method| earlier.allows(method))
                .collect();
            (!taken.is_empty()).then(|| {
                let taken = taken.join(", ");
                format!("the route at line {line} takes {taken} of this path")
            })
        }
    }
}
