//! Ranges of uids and their owners, as subuid(5) has them.

use std::{collections::BTreeMap, sync::Arc};

/// Lines beyond this are not read, so that no file however long can stop the daemon.
const MOST: usize = 100_000;

/// Whose a range is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This user's.
    Uid(u32),
    /// That of whoever has this name.
    Named {
        /// The name.
        name: Arc<str>,
        /// The line's first uid, whose all of it is if nobody has the name: it is one user all the same.
        first: u32,
    },
}

/// Ranges that do not overlap: by their first uid, the last and the owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u32, (u32, Owner)>);

impl Ranges {
    /// The lines `OWNER:FIRST:COUNT`. What lies in two ranges belongs to the first; lines that are none are
    /// passed over, as newuidmap(1) does.
    pub fn parse(text: &str) -> Self {
        let mut ranges = Self::default();
        for line in text.lines().take(MOST) {
            let mut fields = line.split(':');
            let (Some(owner), Some(first), Some(count), None) =
                (fields.next(), fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let (Ok(first), Ok(count)) = (first.trim().parse::<u32>(), count.trim().parse::<u32>()) else {
                continue;
            };
            let Some(more) = count.checked_sub(1) else { continue };
            let named = || Owner::Named { name: owner.trim().into(), first };
            let owner = owner.trim().parse().map_or_else(|_| named(), Owner::Uid);
            ranges.add(first, first.saturating_add(more), &owner);
        }
        ranges
    }

    /// Adds what of `first..=last` nobody has yet.
    fn add(&mut self, first: u32, last: u32, owner: &Owner) {
        let mut next = u64::from(match self.0.range(..=first).next_back() {
            Some((_, (end, _))) if *end >= last => return,
            Some((_, (end, _))) if *end >= first => end + 1,
            _ => first,
        });
        let taken: Vec<_> = self.0.range(first..=last).map(|(first, (last, _))| (*first, *last)).collect();
        for (start, end) in taken {
            self.put(next, u64::from(start), owner);
            next = next.max(u64::from(end) + 1);
        }
        self.put(next, u64::from(last) + 1, owner);
    }

    /// Puts in `first..end`, if that is anything.
    fn put(&mut self, first: u64, end: u64, owner: &Owner) {
        if let (true, Ok(first), Ok(last)) = (first < end, u32::try_from(first), u32::try_from(end - 1)) {
            self.0.insert(first, (last, owner.clone()));
        }
    }

    /// Whose range a uid lies in.
    pub fn owner(&self, uid: u32) -> Option<&Owner> {
        let (_, (last, owner)) = self.0.range(..=uid).next_back()?;
        (uid <= *last).then_some(owner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The uid of the owner, if alice is 1001, bob is 1002 and there is nobody else.
    fn owner(ranges: &Ranges, uid: u32) -> Option<u32> {
        ranges.owner(uid).map(|owner| match owner {
            Owner::Uid(uid) => *uid,
            Owner::Named { name, .. } if &**name == "alice" => 1001,
            Owner::Named { name, .. } if &**name == "bob" => 1002,
            Owner::Named { first, .. } => *first,
        })
    }

    #[test]
    fn a_subordinate_uid_is_its_owners() {
        let ranges = Ranges::parse("alice:100000:65536\nbob:165536:65536\n4711:300000:1\n");
        for (uid, expected) in [
            (1001, None),
            (99_999, None),
            (100_000, Some(1001)),
            (165_535, Some(1001)),
            (165_536, Some(1002)),
            (231_071, Some(1002)),
            (231_072, None),
            (300_000, Some(4711)),
            (300_001, None),
        ] {
            assert_eq!(owner(&ranges, uid), expected, "{uid}");
        }
    }

    #[test]
    fn the_first_of_overlapping_ranges_counts() {
        let ranges = Ranges::parse("alice:100:10\nbob:50:100\nbob:105:1\nalice:0:4294967295\n");
        let owners =
            [(99, 1002), (100, 1001), (109, 1001), (110, 1002), (149, 1002), (150, 1001), (49, 1001)];
        for (uid, expected) in owners {
            assert_eq!(owner(&ranges, uid), Some(expected), "{uid}");
        }
    }

    #[test]
    fn what_is_no_range_is_passed_over() {
        let text = "\n#alice:1:1\nalice\nalice:1\nalice:x:1\nalice:1:x\nalice:1:0\nalice:-1:5\nalice:1:1:1\n\
                    bob:4294967295:9\nghost:500:5\n";
        let ranges = Ranges::parse(text);
        assert_eq!(owner(&ranges, u32::MAX), Some(1002));
        assert_eq!(
            (owner(&ranges, 500), owner(&ranges, 504), owner(&ranges, 505)),
            (Some(500), Some(500), None)
        );
        // "#alice" is nobody, as for newuidmap(1), which knows no comments.
        assert_eq!(owner(&ranges, 1), Some(1));
        assert_eq!(ranges.0.len(), 3);
    }

    proptest! {
        #[test]
        fn the_owner_is_that_of_the_first_line_that_holds_it(
            lines in prop::collection::vec((0u32..400, 1u32..80), 0..12),
            uid in 0u32..500,
        ) {
            let numbered = lines.iter().enumerate();
            let text: String =
                numbered.clone().map(|(owner, (first, count))| format!("{owner}:{first}:{count}\n")).collect();
            let mut holding = numbered.filter(|(_, (first, count))| (*first..first + count).contains(&uid));
            let expected = holding.next().map(|(owner, _)| u32::try_from(owner).unwrap());
            prop_assert_eq!(owner(&Ranges::parse(&text), uid), expected);
        }
    }
}
