use super::super::resource::tests::json_value;
use super::*;
use crate::wire;
use proptest::prelude::*;

const BASE: &str = "https://x.example/scim/v2";
const LIMITS: Limits = Limits {
    max_operations: 10,
    max_payload_bytes: 10_000,
};

fn parse(operations: &Value) -> Result<Bulk, ScimError> {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations,
    });
    Bulk::parse(&body.to_string(), LIMITS)
}

/// Carries everything out: what is made gets the id `i` and its place, unless `result` says otherwise.
fn run(
    bulk: &Bulk,
    progress: &mut Progress,
    mut result: impl FnMut(&Work) -> Option<ScimError>,
) -> Vec<Work> {
    let mut done = Vec::new();
    while let Some(work) = bulk.next(progress) {
        let id = work
            .id
            .clone()
            .unwrap_or_else(|| format!("i{}", done.len()));
        let version = (work.method != Method::Delete).then_some(Version(1));
        let came = result(&work).map_or(Ok(Done { id, version }), Err);
        bulk.record(progress, came);
        done.push(work);
    }
    done
}

fn statuses(bulk: &Bulk, progress: &Progress) -> Vec<String> {
    let response = bulk.response(progress, BASE);
    let operations = response["Operations"].as_array().cloned();
    let operations = operations.unwrap_or_default().into_iter();
    operations
        .map(|one| one["status"].as_str().unwrap_or_default().to_owned())
        .collect()
}

fn post(bulk_id: &str, data: &Value) -> Value {
    let is_group = data.get("members").is_some();
    let path = if is_group { "/Groups" } else { "/Users" };
    json!({"method": "POST", "bulkId": bulk_id, "path": path, "data": data})
}

#[test]
fn each_method_is_planned_and_answered() {
    let bulk = parse(&json!([
        post("a", &json!({"userName": "a"})),
        {"method": "put", "path": "/Users/u1", "data": {"userName": "b"}, "version": "W/\"4\""},
        {"method": "PATCH", "path": "/Groups/g1", "data": {"Operations": []}},
        {"method": "DELETE", "path": "/Users/u2", "bulkId": "d", "data": {"x": 1}},
    ]));
    let bulk = bulk.expect("parses");
    let mut progress = Progress::default();
    let works = run(&bulk, &mut progress, |work| {
        (work.method == Method::Patch).then_some(ScimError::NotFound)
    });
    let methods: Vec<Method> = works.iter().map(|work| work.method).collect();
    assert_eq!(
        methods,
        [Method::Post, Method::Put, Method::Patch, Method::Delete]
    );
    assert_eq!(
        works[1].conditions,
        Conditions::of_version(Some("W/\"4\"")).expect("reads")
    );
    assert_eq!(
        (works[3].id.as_deref(), &works[3].data),
        (Some("u2"), &Value::Null)
    );
    let expected = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],
        "Operations": [
            {"method": "POST", "bulkId": "a", "location": format!("{BASE}/Users/i0"), "version": "W/\"1\"", "status": "201"},
            {"method": "PUT", "location": format!("{BASE}/Users/u1"), "version": "W/\"1\"", "status": "200"},
            {"method": "PATCH", "location": format!("{BASE}/Groups/g1"), "status": "404", "response": ScimError::NotFound.body()},
            {"method": "DELETE", "bulkId": "d", "location": format!("{BASE}/Users/u2"), "status": "204"},
        ],
    });
    assert_eq!(bulk.response(&progress, BASE), expected);
}

/// RFC 7644 section 3.7.2 has this: a group that comes before its members.
#[test]
fn what_is_referred_to_is_made_first_and_the_answer_keeps_the_order() {
    let bulk = parse(&json!([
        post("g", &json!({"displayName": "Tour Guides", "members": [
            {"type": "User", "value": "bulkId:a"}, {"type": "User", "value": "u7"},
        ]})),
        {"method": "PATCH", "path": "/Users/bulkId:b", "data": {"Operations": [
            {"op": "add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "value": "bulkId:a"},
        ]}},
        post("a", &json!({"userName": "a", "displayName": "bulkId:b"})),
        post("b", &json!({"userName": "b"})),
    ]));
    let bulk = bulk.expect("parses");
    let mut progress = Progress::default();
    let works = run(&bulk, &mut progress, |_| None);
    let ids: Vec<Option<&str>> = works.iter().map(|work| work.id.as_deref()).collect();
    assert_eq!(ids, [None, None, None, Some("i2")]);
    assert_eq!(
        works[0].data["displayName"], "bulkId:b",
        "no place for a reference"
    );
    assert_eq!(works[1].data["members"][0]["value"], "i0");
    assert_eq!(works[1].data["members"][1]["value"], "u7");
    assert_eq!(works[3].data["Operations"][0]["value"], "i0");
    assert_eq!(statuses(&bulk, &progress), ["201", "200", "201", "201"]);
    let response = bulk.response(&progress, BASE);
    assert_eq!(response["Operations"][0]["bulkId"], "g");
}

#[test]
fn what_rests_on_a_failure_fails_and_the_rest_goes_on() {
    let bulk = parse(&json!([
        post("a", &json!({"userName": "taken"})),
        post("g", &json!({"displayName": "g", "members": [{"value": "bulkId:a"}]})),
        post("b", &json!({"userName": "b"})),
        {"method": "DELETE", "path": "/Groups/bulkId:g"},
    ]));
    let bulk = bulk.expect("parses");
    let mut progress = Progress::default();
    let works = run(&bulk, &mut progress, |work| {
        (work.data["userName"] == "taken").then_some(ScimError::Uniqueness)
    });
    assert_eq!(works.len(), 2);
    assert_eq!(statuses(&bulk, &progress), ["409", "409", "201", "409"]);
    let response = bulk.response(&progress, BASE);
    assert_eq!(
        response["Operations"][1]["response"]["scimType"],
        "invalidValue"
    );
    assert_eq!(response["Operations"][3].get("location"), None);
}

#[test]
fn circles_are_refused_with_all_that_are_in_them_and_no_others() {
    let manages = |name: &str, manager: &str| {
        post(
            name,
            &json!({"userName": name, "manager": {"value": format!("bulkId:{manager}")}}),
        )
    };
    for (operations, expected) in [
        (json!([manages("a", "a")]), vec!["409"]),
        (
            json!([manages("a", "b"), manages("b", "a")]),
            vec!["409", "409"],
        ),
        (
            json!([
                manages("a", "b"),
                manages("b", "c"),
                manages("c", "a"),
                manages("d", "e"),
                post("e", &json!({"userName": "e"}))
            ]),
            vec!["409", "409", "409", "201", "201"],
        ),
    ] {
        let bulk = parse(&operations).expect("parses");
        let mut progress = Progress::default();
        run(&bulk, &mut progress, |_| None);
        assert_eq!(statuses(&bulk, &progress), expected, "{operations}");
    }
}

#[test]
fn after_so_many_errors_the_rest_is_left() {
    let remove = |id: u32| json!({"method": "DELETE", "path": format!("/Users/{id}")});
    let body = |most: Value| {
        json!({"failOnErrors": most, "Operations": (0..5).map(remove).collect::<Value>()})
            .to_string()
    };
    let bulk = Bulk::parse(&body(json!(2)), LIMITS).expect("parses");
    let mut progress = Progress::default();
    let works = run(&bulk, &mut progress, |work| {
        (work.id.as_deref() != Some("1")).then_some(ScimError::NotFound)
    });
    assert_eq!((works.len(), progress.errors()), (3, 2));
    assert_eq!(statuses(&bulk, &progress), ["404", "204", "404"]);
    for wrong in [json!(0), json!(-1), json!("1"), json!(1.5), json!(1e20)] {
        assert!(
            Bulk::parse(&body(wrong.clone()), LIMITS).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_plan_goes_on_where_it_was() {
    let operations = json!([
        post("g", &json!({"displayName": "g", "members": [{"value": "bulkId:a"}]})),
        post("a", &json!({"userName": "a"})),
        {"method": "DELETE", "path": "/Nonsense/1"},
        {"method": "PATCH", "path": "/Groups/bulkId:g", "data": {}},
    ]);
    let mut progress = Progress::default();
    let mut works = Vec::new();
    loop {
        // All that is kept between two operations is the body and the progress.
        let bulk = parse(&operations).expect("parses");
        let kept = wire::encode(&progress).expect("encodes");
        progress = wire::decode(&kept).expect("decodes");
        let Some(work) = bulk.next(&mut progress) else {
            break;
        };
        let id = work
            .id
            .clone()
            .unwrap_or_else(|| format!("i{}", works.len()));
        let version = None;
        bulk.record(&mut progress, Ok(Done { id, version }));
        works.push(work);
    }
    let bulk = parse(&operations).expect("parses");
    let mut at_once = Progress::default();
    let expected = run(&bulk, &mut at_once, |_| None);
    assert_eq!(works, expected);
    assert_eq!(statuses(&bulk, &progress), ["201", "201", "400", "200"]);
}

#[test]
fn golden_bytes_of_a_progress() {
    let bulk = parse(&json!([post("a", &json!({})), post("b", &json!({}))])).expect("parses");
    let mut progress = Progress::default();
    let done = Done {
        id: "i".into(),
        version: Some(Version(3)),
    };
    bulk.record(&mut progress, Ok(done));
    bulk.record(&mut progress, Err(ScimError::NotFound));
    let expected = vec![1, 2, 0, 1, b'i', 1, 3, 1, 6, 1, 1, b'a', 1, b'i', 1];
    assert_eq!(wire::encode(&progress), Ok(expected));
}

#[test]
fn a_request_that_is_too_much_is_refused_whole() {
    let many: Value = (0..11)
        .map(|id| json!({"method": "DELETE", "path": format!("/Users/{id}")}))
        .collect();
    assert!(matches!(parse(&many), Err(ScimError::TooLarge(_))));
    let long = json!([post("a", &json!({"userName": "x".repeat(10_000)}))]);
    assert!(matches!(parse(&long), Err(ScimError::TooLarge(_))));
}

#[test]
fn what_is_no_request_is_refused_whole() {
    let one = json!({"method": "DELETE", "path": "/Users/1"});
    for body in [
        json!([]),
        json!({}),
        json!({"Operations": []}),
        json!({"Operations": {}}),
        json!({"Operations": [one], "schemas": ["urn:x"]}),
        json!({"Operations": [post("a", &json!({})), post("a", &json!({}))]}),
    ] {
        assert!(Bulk::parse(&body.to_string(), LIMITS).is_err(), "{body}");
    }
    assert!(Bulk::parse("{", LIMITS).is_err());
}

#[test]
fn an_operation_that_cannot_be_is_an_error_of_its_own() {
    for operation in [
        json!(1),
        json!({}),
        json!({"method": "GET", "path": "/Users/1"}),
        json!({"method": "DELETE", "path": "/Users"}),
        json!({"method": "DELETE", "path": "/Users/"}),
        json!({"method": "DELETE", "path": "/Users/1/2"}),
        json!({"method": "DELETE", "path": "/Users/1?x"}),
        json!({"method": "DELETE", "path": "/UsersX"}),
        json!({"method": "DELETE", "path": "Users/1"}),
        json!({"method": "POST", "path": "/Users", "data": {}}),
        json!({"method": "POST", "path": "/Users", "bulkId": "", "data": {}}),
        json!({"method": "POST", "path": "/Users/1", "bulkId": "a", "data": {}}),
        json!({"method": "POST", "path": "/Users", "bulkId": "a"}),
        json!({"method": "PUT", "path": "/Users/1", "data": []}),
        json!({"method": "PUT", "path": "/Users/1", "data": {}, "version": 1}),
        json!({"method": "PUT", "path": "/Users/1", "data": {}, "version": "1"}),
        json!({"method": "PUT", "path": "/Users/bulkId:nobody", "data": {}}),
        json!({"method": "PUT", "path": "/Users/1", "data": {"manager": {"value": "bulkId:nobody"}}}),
    ] {
        let good = json!({"method": "DELETE", "path": "/Users/1"});
        let bulk = parse(&json!([operation, good])).expect("parses");
        let mut progress = Progress::default();
        let works = run(&bulk, &mut progress, |_| None);
        assert_eq!(works.len(), 1, "{operation}");
        assert_eq!(statuses(&bulk, &progress), ["400", "204"], "{operation}");
    }
}

proptest! {
    #[test]
    fn each_operation_is_carried_out_once_and_after_what_it_rests_on(
        links in prop::collection::vec(prop::collection::vec(0..8usize, 0..3), 1..8),
    ) {
        let count = links.len();
        let operations: Value = links.iter().enumerate().map(|(at, on)| {
            let members: Value = on.iter().filter(|on| **on < count)
                .map(|on| json!({"value": format!("bulkId:{on}")})).collect();
            json!({"method": "POST", "bulkId": at.to_string(), "path": "/Groups", "data": {"members": members}})
        }).collect();
        let bulk = parse(&operations).expect("parses");
        let mut sorted = bulk.order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..count).collect::<Vec<_>>());
        let mut progress = Progress::default();
        let works = run(&bulk, &mut progress, |_| None);
        prop_assert_eq!(progress.position(), count);
        for work in works {
            prop_assert!(!work.data.to_string().contains("bulkId:"));
        }
        // What is in no circle and rests on none is made.
        let mut good = vec![false; count];
        for _ in 0..count {
            for (at, on) in links.iter().enumerate() {
                good[at] = on.iter().filter(|on| **on < count).all(|on| good[*on]);
            }
        }
        let made: Vec<bool> = statuses(&bulk, &progress).iter().map(|status| status == "201").collect();
        prop_assert_eq!(made, good);
    }

    #[test]
    fn arbitrary_requests_never_panic_and_end(operations in prop::collection::vec(json_value(), 0..5), text: String) {
        let _ = Bulk::parse(&text, LIMITS);
        if let Ok(bulk) = parse(&Value::Array(operations)) {
            let mut progress = Progress::default();
            run(&bulk, &mut progress, |_| None);
            prop_assert_eq!(progress.position(), bulk.len());
        }
    }
}
