use super::super::matching::MatchingAttribute;
use super::Concerned::{AllMembers, These};
use super::*;
use proptest::prelude::*;
use serde_json::json;

const POLICIES: [GroupPolicy; 3] = [
    GroupPolicy::Automatic,
    GroupPolicy::ReauthenticateOnGroupChange,
    GroupPolicy::Nothing,
];

const MATCHING: Matching = Matching {
    attribute: MatchingAttribute::UserName,
    folds_case: true,
};

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn active(value: &str) -> Standing {
    Standing {
        value: Some(value.to_owned()),
        active: true,
        ..Standing::default()
    }
}

fn inactive(value: &str) -> Standing {
    Standing {
        active: false,
        ..active(value)
    }
}

fn disable(value: &str, why: Why) -> Effect {
    let value = value.to_owned();
    Effect::Disable { value, why }
}

fn reactivate(value: &str) -> Effect {
    let value = value.to_owned();
    Effect::Reactivate { value }
}

fn reauthenticate(value: &str, why: Why) -> Effect {
    let value = value.to_owned();
    Effect::Reauthenticate { value, why }
}

#[test]
fn who_is_deprovisioned_is_out_whatever_the_policy() {
    let (a, off) = (active("a"), inactive("a"));
    let nobody = Standing {
        value: None,
        ..active("a")
    };
    for policy in POLICIES {
        for (before, after, expected) in [
            // By PATCH or PUT.
            (Some(&a), Some(&off), vec![disable("a", Why::Deactivated)]),
            // By POST, of somebody who may have logged in before they were known.
            (None, Some(&off), vec![disable("a", Why::Deactivated)]),
            // By DELETE, also of who is out already.
            (Some(&a), None, vec![disable("a", Why::Deleted)]),
            (Some(&off), None, vec![disable("a", Why::Deleted)]),
            // Again.
            (Some(&off), Some(&off), vec![disable("a", Why::Deactivated)]),
            // Back.
            (Some(&off), Some(&a), vec![reactivate("a")]),
            (None, Some(&a), vec![reactivate("a")]),
            // The value is gone, or comes.
            (Some(&a), Some(&nobody), vec![disable("a", Why::Renamed)]),
            (Some(&nobody), None, vec![]),
            (Some(&nobody), Some(&nobody), vec![]),
            (None, None, vec![]),
            // Nothing.
            (Some(&a), Some(&a), vec![]),
        ] {
            let effects = on_change(before, after, &MATCHING, policy);
            assert_eq!(effects, expected, "{before:?} {after:?} {policy:?}");
        }
    }
}

#[test]
fn another_value_ends_the_old_one_and_starts_a_new_person() {
    for policy in POLICIES {
        let renamed = |before: &Standing, after: &Standing| {
            on_change(Some(before), Some(after), &MATCHING, policy)
        };
        let expected = [
            disable("a", Why::Renamed),
            reactivate("b"),
            reauthenticate("b", Why::Reassigned),
        ];
        assert_eq!(renamed(&active("a"), &active("b")), expected);
        assert_eq!(renamed(&inactive("a"), &active("b")), expected);
        let out = [disable("a", Why::Renamed), disable("b", Why::Deactivated)];
        assert_eq!(renamed(&active("a"), &inactive("b")), out);
        // The same to the connection is no other.
        assert_eq!(renamed(&active("a"), &active("A")), []);
        let exact = Matching {
            folds_case: false,
            ..MATCHING
        };
        let effects = on_change(Some(&active("a")), Some(&active("A")), &exact, policy);
        assert_eq!(effects.first(), Some(&disable("a", Why::Renamed)));
        // What looks the same is another.
        let alike = renamed(&active("kate"), &active("\u{212a}ate"));
        assert_eq!(alike.first(), Some(&disable("kate", Why::Renamed)));
    }
}

#[test]
fn an_address_that_is_given_to_somebody_else_starts_a_new_person() {
    // First it is taken from the one, by a new value or by deletion; then the other gets it.
    let taken = on_change(
        Some(&active("a")),
        Some(&active("a2")),
        &MATCHING,
        GroupPolicy::Automatic,
    );
    assert!(taken.contains(&disable("a", Why::Renamed)));
    let deleted = on_change(Some(&active("a")), None, &MATCHING, GroupPolicy::Automatic);
    assert_eq!(deleted, [disable("a", Why::Deleted)]);
    let given = on_change(
        Some(&active("b")),
        Some(&active("a")),
        &MATCHING,
        GroupPolicy::Automatic,
    );
    assert!(given.contains(&reauthenticate("a", Why::Reassigned)));
    // A new user with it gets in anew: a reactivation revives nothing.
    let made = on_change(None, Some(&active("a")), &MATCHING, GroupPolicy::Automatic);
    assert_eq!(made, [reactivate("a")]);
}

#[test]
fn a_user_stands_as_what_is_kept_of_it_says() {
    let of = |user: Value| {
        let user = user.as_object().cloned().unwrap_or_default();
        Standing::of(&user, &MATCHING, set(&["g"]), set(&["r"]))
    };
    let expected = Standing {
        groups: set(&["g"]),
        roles: set(&["r"]),
        ..active("Ada")
    };
    assert_eq!(of(json!({"userName": "Ada", "active": true})), expected);
    // Without `active` nobody is.
    let silent = of(json!({"userName": "Ada", "externalId": "Eve"}));
    assert_eq!(
        (silent.value.as_deref(), silent.active),
        (Some("Ada"), false)
    );
}

#[test]
fn groups_and_roles_count_as_the_policy_says() {
    let standing = |groups: &[&str], roles: &[&str]| Standing {
        groups: set(groups),
        roles: set(roles),
        ..active("a")
    };
    let (x, xy, none) = (
        standing(&["x"], &[]),
        standing(&["x", "y"], &[]),
        standing(&[], &[]),
    );
    let (admin, y) = (standing(&[], &["admin"]), standing(&["y"], &[]));
    let again = |why| vec![reauthenticate("a", why)];
    for (before, after, automatic, strict) in [
        (&x, &x, vec![], vec![]),
        // Gained.
        (&none, &x, vec![], again(Why::GroupsChanged)),
        (&x, &xy, vec![], again(Why::GroupsChanged)),
        (&none, &admin, vec![], again(Why::GroupsChanged)),
        // Lost.
        (&xy, &x, again(Why::GroupLost), again(Why::GroupsChanged)),
        (&x, &none, again(Why::GroupLost), again(Why::GroupsChanged)),
        (
            &admin,
            &none,
            again(Why::RoleLost),
            again(Why::GroupsChanged),
        ),
        // One for another.
        (&x, &y, again(Why::GroupLost), again(Why::GroupsChanged)),
        (&admin, &x, again(Why::RoleLost), again(Why::GroupsChanged)),
    ] {
        let effects = |policy| on_change(Some(before), Some(after), &MATCHING, policy);
        assert_eq!(
            effects(GroupPolicy::Automatic),
            automatic,
            "{before:?} {after:?}"
        );
        let reauthenticated = effects(GroupPolicy::ReauthenticateOnGroupChange);
        assert_eq!(reauthenticated, strict, "{before:?} {after:?}");
        assert_eq!(effects(GroupPolicy::Nothing), []);
    }
}

#[test]
fn a_change_of_a_group_concerns_whom_it_may_cost_something() {
    let difference = || MemberDifference {
        added: set(&["new"]),
        removed: set(&["old"]),
    };
    for (change, automatic, strict) in [
        (
            GroupChange::Members(difference()),
            These(set(&["old"])),
            These(set(&["new", "old"])),
        ),
        (
            GroupChange::Renamed(difference()),
            AllMembers(set(&["new"])),
            AllMembers(set(&["new"])),
        ),
        (
            GroupChange::Deleted,
            AllMembers(set(&[])),
            AllMembers(set(&[])),
        ),
    ] {
        assert_eq!(concerned(change.clone(), GroupPolicy::Automatic), automatic);
        let reauthenticate = GroupPolicy::ReauthenticateOnGroupChange;
        assert_eq!(concerned(change.clone(), reauthenticate), strict);
        assert_eq!(concerned(change, GroupPolicy::Nothing), These(set(&[])));
    }
}

#[test]
fn policies_are_spelled_as_connections_have_them() {
    for (policy, spelled) in [
        (GroupPolicy::Automatic, "\"automatic\""),
        (
            GroupPolicy::ReauthenticateOnGroupChange,
            "\"reauthenticate_on_group_change\"",
        ),
        (GroupPolicy::Nothing, "\"nothing\""),
    ] {
        assert_eq!(serde_json::to_string(&policy).expect("writes"), spelled);
    }
    assert_eq!(GroupPolicy::default(), GroupPolicy::Automatic);
}

fn standing() -> impl Strategy<Value = Option<Standing>> {
    let names = || prop::collection::btree_set("[xyz]", 0..3);
    let one = (prop::option::of("[aAb]"), any::<bool>(), names(), names());
    prop::option::of(one.prop_map(|(value, active, groups, roles)| Standing {
        value,
        active,
        groups,
        roles,
    }))
}

proptest! {
    #[test]
    fn after_a_change_only_the_active_user_of_a_value_is_let_in(
        before in standing(), after in standing(), policy in prop::sample::select(&POLICIES[..]),
    ) {
        let effects = on_change(before.as_ref(), after.as_ref(), &MATCHING, policy);
        let let_in = after.as_ref().filter(|after| after.active).and_then(|after| after.value.clone());
        let is_let_in = |value: &str| let_in.as_ref().is_some_and(|one| MATCHING.is_same(one, value));
        for value in [&before, &after].into_iter().flatten().filter_map(|one| one.value.as_ref()) {
            let mut disabled = None;
            for effect in &effects {
                match effect {
                    Effect::Disable { value: of, .. } if MATCHING.is_same(of, value) => disabled = Some(true),
                    Effect::Reactivate { value: of } if MATCHING.is_same(of, value) => disabled = Some(false),
                    _ => {}
                }
            }
            if is_let_in(value) {
                prop_assert_ne!(disabled, Some(true), "{:?}", effects);
            } else {
                prop_assert_eq!(disabled, Some(true), "{:?}", effects);
            }
        }
    }
}
