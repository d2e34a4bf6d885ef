//! How a balancer chooses a replica: what it knows is what it has sent itself, and with [`Rule::Weighted`] what replicas report now and then.

use std::{cmp::Reverse, collections::BinaryHeap, fmt};

use resnetd::chance::SplitMix;

/// A way to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Any: what a Service of Kubernetes does with connections.
    Random,
    /// One after the other.
    RoundRobin,
    /// By what each reported (ORCA): answers a second over its load, so a slow one gets less. gRPC's and Envoy's weighted round robin.
    Weighted,
    /// Of two chosen by chance the one with less in work: Envoy's least request.
    PowerOfTwo,
    /// The one with the least in work: HAProxy's and nginx's least connections.
    LeastRequest,
}

impl Rule {
    pub(crate) const ALL: [Self; 5] =
        [Self::Random, Self::RoundRobin, Self::Weighted, Self::PowerOfTwo, Self::LeastRequest];
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random",
            Self::RoundRobin => "round robin",
            Self::Weighted => "weighted (ORCA)",
            Self::PowerOfTwo => "power of two",
            Self::LeastRequest => "least request",
        })
    }
}

/// One balancer. Replicas are numbers; those that may be chosen are told with [`Balancer::set`].
pub(crate) struct Balancer {
    rule: Rule,
    chance: SplitMix,
    ready: Vec<usize>,
    next: usize,
    in_work: Vec<u32>,
    /// Of least request: replicas by what they have in work, and where each stands there.
    ranks: Vec<Vec<usize>>,
    place: Vec<Option<usize>>,
    /// Of weighted: whose turn comes next, in parts of a turn; earliest deadline first.
    turns: BinaryHeap<Reverse<(u64, usize)>>,
    steps: Vec<u64>,
}

/// The step of a replica of mean weight.
const STEP: f64 = 1e6;

impl Balancer {
    /// * `most`: no replica's number reaches it
    pub(crate) fn new(rule: Rule, most: usize, seed: u64) -> Self {
        Self {
            rule,
            chance: SplitMix::new(seed),
            ready: Vec::new(),
            next: 0,
            in_work: vec![0; most],
            ranks: vec![Vec::new()],
            place: vec![None; most],
            turns: BinaryHeap::new(),
            steps: vec![STEP as u64; most],
        }
    }

    /// Who may be chosen from now on.
    pub(crate) fn set(&mut self, ready: &[usize]) {
        ready.clone_into(&mut self.ready);
        self.next = self.chance.below(ready.len());
        if self.rule == Rule::LeastRequest {
            self.ranks.iter_mut().for_each(Vec::clear);
            self.place.fill(None);
            for &replica in ready {
                self.enter(replica);
            }
        }
        self.deal();
    }

    /// Weights by number, any unit; those of 0 count as the mean.
    pub(crate) fn weigh(&mut self, weights: &[f64]) {
        if self.rule != Rule::Weighted {
            return;
        }
        let known: Vec<f64> =
            self.ready.iter().map(|&replica| weights[replica]).filter(|weight| *weight > 0.0).collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        for &replica in &self.ready {
            let weight = weights[replica];
            // Nobody is left out for a report, nor trusted with everything.
            let part = if weight > 0.0 && mean > 0.0 { (weight / mean).clamp(0.1, 10.0) } else { 1.0 };
            self.steps[replica] = (STEP / part) as u64;
        }
        self.deal();
    }

    fn deal(&mut self) {
        self.turns.clear();
        if self.rule == Rule::Weighted {
            for &replica in &self.ready {
                let first = (self.chance.fraction() * self.steps[replica] as f64) as u64;
                self.turns.push(Reverse((first, replica)));
            }
        }
    }

    /// Chooses for one request; `None` where there is nobody.
    pub(crate) fn choose(&mut self) -> Option<usize> {
        let count = self.ready.len();
        if count == 0 {
            return None;
        }
        let chosen = match self.rule {
            Rule::Random => self.ready[self.chance.below(count)],
            Rule::RoundRobin => {
                self.next = (self.next + 1) % count;
                self.ready[self.next]
            }
            Rule::Weighted => {
                let Reverse((at, replica)) = self.turns.pop()?;
                self.turns.push(Reverse((at + self.steps[replica], replica)));
                replica
            }
            Rule::PowerOfTwo => {
                let first = self.chance.below(count);
                let other = (first + 1 + self.chance.below(count - 1)) % count;
                let [first, other] = [first, other].map(|at| self.ready[at]);
                if self.in_work[other] < self.in_work[first] { other } else { first }
            }
            Rule::LeastRequest => {
                let least = self.ranks.iter().find(|rank| !rank.is_empty())?;
                least[self.chance.below(least.len())]
            }
        };
        self.leave(chosen);
        self.in_work[chosen] += 1;
        self.enter_again(chosen);
        Some(chosen)
    }

    /// A request that was sent to `replica` is over.
    pub(crate) fn end(&mut self, replica: usize) {
        let listed = self.leave(replica);
        self.in_work[replica] = self.in_work[replica].saturating_sub(1);
        if listed {
            self.enter_again(replica);
        }
    }

    fn enter_again(&mut self, replica: usize) {
        if self.rule == Rule::LeastRequest {
            self.enter(replica);
        }
    }

    fn enter(&mut self, replica: usize) {
        let rank = self.in_work[replica] as usize;
        if self.ranks.len() <= rank {
            self.ranks.resize(rank + 1, Vec::new());
        }
        self.place[replica] = Some(self.ranks[rank].len());
        self.ranks[rank].push(replica);
    }

    /// Whether it stood in the ranks.
    fn leave(&mut self, replica: usize) -> bool {
        let Some(at) = self.place[replica].take() else { return false };
        let rank = &mut self.ranks[self.in_work[replica] as usize];
        rank.swap_remove(at);
        if let Some(&moved) = rank.get(at) {
            self.place[moved] = Some(at);
        }
        true
    }
}
