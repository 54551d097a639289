//! Covers of what has a name: clients, connections, keys. There are few.

use super::cover::Cover;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeMap;

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named {
    /// A client, by its `client_id`.
    Client,
    /// A connection.
    Connection,
    /// A key of the service's, by its `kid`.
    Key,
}

/// Covers by name.
#[derive(Debug, Default)]
pub struct Names {
    clients: BTreeMap<String, Cover>,
    connections: BTreeMap<String, Cover>,
    keys: BTreeMap<String, Cover>,
}

impl Names {
    /// Takes in what covers the one of that name from now on.
    pub fn put(&mut self, of: Named, name: &str, cover: Cover) {
        let all = match of {
            Named::Client => &mut self.clients,
            Named::Connection => &mut self.connections,
            Named::Key => &mut self.keys,
        };
        match all.get_mut(name) {
            Some(known) => *known = known.followed_by(cover),
            None => {
                all.insert(name.to_owned(), cover);
            }
        }
    }

    /// Whether what was issued then to, through or by the one of that name is covered.
    #[must_use]
    pub fn cover(&self, of: Named, name: &str, issued_at: UnixMillis) -> bool {
        let all = self.all(of);
        !all.is_empty() && all.get(name).is_some_and(|cover| cover.covers(issued_at))
    }

    /// Whether what was issued then is covered if it is of one of them, whichever.
    #[must_use]
    pub fn any_covers(&self, of: Named, issued_at: UnixMillis) -> bool {
        self.all(of).values().any(|cover| cover.covers(issued_at))
    }

    /// Takes out what has ended.
    pub fn sweep(&mut self, now: UnixMillis) {
        for all in [&mut self.clients, &mut self.connections, &mut self.keys] {
            all.retain(|_, cover| !cover.has_ended(now));
        }
    }

    fn all(&self, of: Named) -> &BTreeMap<String, Cover> {
        match of {
            Named::Client => &self.clients,
            Named::Connection => &self.connections,
            Named::Key => &self.keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_covers_its_own_kind_until_it_has_ended() {
        let mut names = Names::default();
        let cover = Cover {
            issued_until_secs: 5,
            ends_at_secs: 9,
        };
        names.put(Named::Connection, "a", cover);
        let at = UnixMillis(5999);
        assert!(names.cover(Named::Connection, "a", at));
        assert!(names.any_covers(Named::Connection, at));
        assert!(!names.cover(Named::Connection, "a", UnixMillis(6000)));
        assert!(!names.cover(Named::Connection, "b", at));
        assert!(!names.cover(Named::Client, "a", at) && !names.any_covers(Named::Client, at));
        names.sweep(UnixMillis(8999));
        assert!(names.cover(Named::Connection, "a", at));
        names.sweep(UnixMillis(9000));
        assert!(!names.cover(Named::Connection, "a", at));
    }
}
