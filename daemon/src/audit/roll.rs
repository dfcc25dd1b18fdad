//! The roll: what lasts, as the thread has been told or as the newest file has it.
//!
//! No I/O: what is to be kept of a change is given back as lines.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead},
    time::{Duration, SystemTime},
};

use super::{
    history::next,
    journal,
    life::{End, Life, Moment, Reason},
    line::{Entry, Line},
    query::Query,
};
use crate::model::AttachmentId;

/// What lasts.
#[derive(Default)]
pub struct Roll(HashMap<AttachmentId, Open>);

/// One life that lasts.
struct Open {
    life: Life,
    /// How long the host had been up at its start.
    up: Option<Duration>,
    /// It was seen in an earlier boot, and not yet in this one.
    of_another_boot: bool,
}

impl Open {
    /// By how many seconds the clock was set since its start, as far as that is known.
    fn clock_stepped(&self, now: Moment) -> i64 {
        let up = self.up.filter(|_| !self.of_another_boot);
        up.map_or(0, |up| now.stepped_since(self.life.start, up))
    }
}

impl Roll {
    /// What lasts according to a file. `boot` is the present one.
    pub fn read(mut lines: impl BufRead, boot: &str) -> io::Result<Self> {
        let mut open = HashMap::new();
        let mut of_another_boot = true;
        while let Some(line) = next(&mut lines)? {
            match Line::read(&line) {
                Some(Line::Daemon { boot: found, .. }) => of_another_boot = found != boot,
                Some(Line::Start(entry) | Line::Change(entry) | Line::Alive(entry)) => {
                    let up = entry.up();
                    let life = Life::from(entry);
                    open.insert(life.id, Open { life, up, of_another_boot });
                }
                Some(Line::End(entry)) => drop(open.remove(&Life::from(entry).id)),
                Some(Line::Lost { .. }) | None => {}
            }
        }
        Ok(Self(open))
    }

    /// An attachment was made, or has changed. None: that is no news.
    pub fn lives(&mut self, life: Life, now: Moment) -> Option<Line> {
        let (line, up) = match self.0.get(&life.id) {
            Some(known) if known.life == life => return None,
            Some(known) => {
                journal::changed(&life);
                (Line::Change(Entry::of(&life, now.wall, known.up)), known.up)
            }
            None => {
                journal::started(&life);
                let up = Some(now.up_at(life.start));
                (Line::Start(Entry::of(&life, life.start, up)), up)
            }
        };
        self.0.insert(life.id, Open { life, up, of_another_boot: false });
        Some(line)
    }

    /// An attachment has ended.
    pub fn ended(&mut self, mut life: Life, reason: Reason, now: Moment, approximate: bool) -> Line {
        life.clock_stepped = self.0.remove(&life.id).map_or(0, |open| open.clock_stepped(now));
        end(life, End { time: now.wall, reason, approximate }, now.wall)
    }

    /// Brings what is taken to last in line with what does.
    pub fn compare(&mut self, live: Vec<Life>, now: Moment) -> Vec<Line> {
        let ids: HashSet<_> = live.iter().map(|life| life.id).collect();
        let gone = self.0.extract_if(|id, _| !ids.contains(id));
        let mut lines: Vec<_> = gone.map(|(_, open)| missed(open, now)).collect();
        for life in live {
            let known = self.0.get_mut(&life.id);
            let up = known.as_ref().and_then(|known| known.up);
            match known {
                Some(known) if known.life == life => known.of_another_boot = false,
                _ => {
                    lines.push(Line::Alive(Entry::of(&life, now.wall, up)));
                    self.0.insert(life.id, Open { life, up, of_another_boot: false });
                }
            }
        }
        lines
    }

    /// Takes over what lasted according to a file. If this roll is known to be `complete`, the rest has
    /// ended.
    pub fn catch_up(&mut self, left: Self, complete: bool, now: Moment) -> Vec<Line> {
        let mut lines = Vec::new();
        for (id, open) in left.0 {
            match self.0.get_mut(&id) {
                Some(known) => known.up = known.up.or(open.up),
                None if complete => lines.push(missed(open, now)),
                None => drop(self.0.insert(id, open)),
            }
        }
        lines
    }

    /// All of it, for the head of a file.
    pub fn lines(&self, now: SystemTime) -> impl Iterator<Item = Line> {
        self.0.values().map(move |open| Line::Alive(Entry::of(&open.life, now, open.up)))
    }

    /// What fits a question.
    pub fn fitting(&self, query: &Query, now: Moment) -> Vec<Life> {
        let lives = self.0.values().map(|open| {
            let clock_stepped = open.clock_stepped(now);
            Life { clock_stepped, ..open.life.clone() }
        });
        lives.filter(|life| query.fits(life)).collect()
    }
}

/// What lasted is gone, and nobody saw it go.
fn missed(open: Open, now: Moment) -> Line {
    let (time, reason) = if open.of_another_boot {
        // Before the start of the host, if the clock can be trusted so far.
        let boot = now.boot();
        (if boot < open.life.start { now.wall } else { boot }, Reason::Reboot)
    } else {
        (now.wall, Reason::Gone)
    };
    let life = Life { clock_stepped: open.clock_stepped(now), ..open.life };
    end(life, End { time, reason, approximate: true }, now.wall)
}

fn end(life: Life, end: End, now: SystemTime) -> Line {
    journal::ended(&life, end);
    Line::End(Entry::of(&Life { end: Some(end), ..life }, now, None))
}
