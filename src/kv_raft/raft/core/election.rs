//! From follower to leader: pre-votes, votes, and when not to give them (Raft, 5.2 and 5.4.1; dissertation, 4.2.3 and 9.6).

use std::collections::{BTreeMap, BTreeSet};

use super::bugs::Bug;
use super::io::{Reply, Request, Sent, Token};
use super::leader::Leadership;
use super::{Core, State};
use crate::services::raft::{NodeId, Term, VoteArgs, VoteReply};

/// What a node that wants to lead knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Campaign {
    /// Who is for it.
    granted: BTreeSet<NodeId>,
    /// How often requests have failed, by node.
    failures: BTreeMap<NodeId, u32>,
    /// Whether the leader has asked for the election.
    transfer: bool,
}

impl Core {
    /// No leader was heard of for long enough.
    pub(super) fn on_election_timeout(&mut self) {
        if self.node.now < self.election_at {
            return;
        }
        self.restart_election_timer();
        if !self.node.may_campaign() {
            self.node.leader = None;
            return;
        }
        if self.node.has(Bug::NoStickiness) {
            self.campaign(false);
        } else {
            self.pre_campaign();
        }
    }

    /// Asks whether an election would be won, so that a node which only lost its links disturbs nobody with a higher term.
    fn pre_campaign(&mut self) {
        self.node.leader = None;
        let granted = BTreeSet::from([self.node.id()]);
        self.state = State::PreCandidate(Campaign { granted, ..Campaign::default() });
        for to in self.node.others() {
            self.request_vote(to);
        }
        self.count_votes();
    }

    /// Asks for votes in the next term.
    fn campaign(&mut self, transfer: bool) {
        let id = self.node.id();
        self.node.enter_term(self.node.term + 1);
        self.node.vote_for(id);
        self.leader_heard_at = None;
        self.receiving = None;
        self.refuse_early();
        self.state = State::Candidate(Campaign { transfer, ..Campaign::default() });
        self.restart_election_timer();
        self.node.hold_own_vote();
        for to in self.node.others() {
            self.request_vote(to);
        }
    }

    /// Asks one node for its vote, or for what its vote would be.
    fn request_vote(&mut self, to: NodeId) {
        if !self.node.membership().is_voter(to) {
            return;
        }
        let (last_index, last_term) = (self.node.log.last_index(), self.node.log.last_term());
        let args = |term, transfer| VoteArgs { term, last_index, last_term, transfer };
        let request = match &self.state {
            State::PreCandidate(_) => Request::PreVote(args(self.node.term + 1, false)),
            State::Candidate(campaign) => Request::Vote(args(self.node.term, campaign.transfer)),
            State::Follower | State::Leader(_) => return,
        };
        self.node.request(to, request);
    }

    /// A request for a vote got no answer: it is repeated at once, a few times. Half of all requests and replies may be
    /// lost, and an election that waits for its next timeout is a long time without a leader.
    pub(super) fn on_vote_failed(&mut self, to: NodeId, sent: Sent) {
        let (campaign, wanted) = match &mut self.state {
            State::PreCandidate(campaign) => (campaign, Sent::PreVote(self.node.term + 1)),
            State::Candidate(campaign) => (campaign, Sent::Vote(self.node.term)),
            State::Follower | State::Leader(_) => return,
        };
        let failures = campaign.failures.entry(to).or_default();
        if sent == wanted && *failures < self.node.options.retries_max {
            *failures += 1;
            self.request_vote(to);
        }
    }

    pub(super) fn on_pre_vote(&mut self, token: Token, args: &VoteArgs) {
        if self.node.has(Bug::RestartTimerOnAnyVoteRequest) {
            self.restart_election_timer();
        }
        let granted = args.term > self.node.term && !self.has_live_leader() && self.is_up_to_date(args);
        let term = if granted { args.term } else { self.node.term };
        self.node.reply(token, Reply::PreVote(VoteReply { term, granted }));
    }

    pub(super) fn on_vote(&mut self, from: NodeId, token: Token, args: &VoteArgs) {
        if self.node.has(Bug::RestartTimerOnAnyVoteRequest) {
            self.restart_election_timer();
        }
        let disturbs = self.has_live_leader() && !args.transfer;
        if args.term > self.node.term && !disturbs {
            // First the term, then the vote in it: the log decides only about the vote.
            self.follow(args.term);
        }
        let is_free = match self.node.voted_for {
            None => true,
            Some(voted_for) => voted_for == from || self.node.has(Bug::VoteTwice),
        };
        let granted = args.term == self.node.term && is_free && !self.leads() && self.is_up_to_date(args);
        if granted {
            if self.node.voted_for != Some(from) {
                self.node.vote_for(from);
            }
            // Whoever votes gives its candidate time; whoever refuses does not wait for it.
            self.restart_election_timer();
        }
        self.node.reply(token, Reply::Vote(VoteReply { term: self.node.term, granted }));
    }

    pub(super) fn on_pre_vote_reply(&mut self, from: NodeId, reply: &VoteReply) {
        if let State::PreCandidate(campaign) = &mut self.state
            && reply.granted
            && reply.term == self.node.term + 1
        {
            campaign.granted.insert(from);
            self.count_votes();
        }
    }

    pub(super) fn on_vote_reply(&mut self, from: NodeId, reply: &VoteReply) {
        if let State::Candidate(campaign) = &mut self.state
            && reply.granted
        {
            campaign.granted.insert(from);
            self.count_votes();
        }
    }

    /// A candidate's vote for itself is durable.
    pub(super) fn on_own_vote(&mut self, term: Term) {
        let id = self.node.id();
        if let State::Candidate(campaign) = &mut self.state
            && term == self.node.term
        {
            campaign.granted.insert(id);
            self.count_votes();
        }
    }

    fn count_votes(&mut self) {
        let wins = |campaign: &Campaign| self.node.has_quorum(|node| campaign.granted.contains(&node));
        match &self.state {
            State::PreCandidate(campaign) if wins(campaign) => self.campaign(false),
            State::Candidate(campaign) if wins(campaign) => {
                self.node.leader = Some(self.node.id());
                self.state = State::Leader(Box::new(Leadership::begin(&mut self.node)));
            }
            State::Follower | State::PreCandidate(_) | State::Candidate(_) | State::Leader(_) => {}
        }
    }

    /// The leader wants this node to take over.
    pub(super) fn on_timeout_now(
        &mut self,
        from: NodeId,
        token: Token,
        args: &crate::services::raft::TimeoutNowArgs,
    ) {
        let asked_by_leader = args.term == self.node.term && self.node.leader == Some(from);
        let campaigns = asked_by_leader && self.node.may_campaign();
        if campaigns {
            self.campaign(true);
        }
        let reply = crate::services::raft::TimeoutNowReply { term: self.node.term, campaigns };
        self.node.reply(token, Reply::TimeoutNow(reply));
    }

    fn leads(&self) -> bool {
        matches!(self.state, State::Leader(_))
    }

    /// Whether there is a leader as far as this node knows: then elections are refused, since whoever wants one is cut off
    /// from it and would only disturb the others.
    fn has_live_leader(&self) -> bool {
        if self.node.has(Bug::NoStickiness) {
            return false;
        }
        let timeout_us = self.node.election_timeout_us() + self.node.links.busy_us;
        let heard_lately = |heard_at: super::Time| self.node.now < heard_at.after_us(timeout_us);
        self.leads() || (self.node.leader.is_some() && self.leader_heard_at.is_some_and(heard_lately))
    }

    /// Whether a candidate's log has everything that this node's log has (Raft, 5.4.1).
    fn is_up_to_date(&self, args: &VoteArgs) -> bool {
        let (theirs, ours) =
            ((args.last_term, args.last_index), (self.node.log.last_term(), self.node.log.last_index()));
        if self.node.has(Bug::CompareLogsByLength) {
            return theirs.1 >= ours.1;
        }
        if self.node.has(Bug::CompareLogsByTerm) {
            return theirs.0 >= ours.0;
        }
        theirs >= ours
    }
}
