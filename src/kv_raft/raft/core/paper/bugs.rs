//! Whether the stories and the rules would notice a bug.

use std::cell::Cell;

use super::super::{Bug, Options};

thread_local! {
    /// The bug that the nodes of this thread's tests run with.
    static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// The options with the bug that is tried.
pub(in super::super) fn seeded(options: Options) -> Options {
    #[cfg(feature = "bugs")]
    return Options { bug: BUG.get(), ..options };
    #[cfg(not(feature = "bugs"))]
    options
}

#[cfg(feature = "bugs")]
mod tests {
    use Bug::*;

    use super::super::super::scripts;
    use super::super::changes::*;
    use super::super::commit::*;
    use super::super::election::*;
    use super::super::random::*;
    use super::super::replication::*;
    use super::super::snapshot::*;
    use super::super::timers::*;
    use super::super::voters::*;
    use super::*;

    /// The rule whose test fails with a bug, and the story that goes differently with it.
    fn noticed_by(bug: Bug) -> (fn(), Option<&'static str>) {
        match bug {
            CommitOldTermByCounting => (a_leader_commits_what_a_majority_has_of_its_term, Some("figure_8_d")),
            CountSelfBeforeDurable => (a_leader_counts_itself_once_it_has_written, Some("durable_appends")),
            MatchFromNext => (what_a_follower_has_is_what_it_says, Some("window")),
            BelieveOldReplies => (only_answers_of_this_term_count, None),
            AnswerVoteBeforeDurable => (a_vote_is_written_before_it_is_told, Some("vote_is_durable")),
            AnswerAppendBeforeDurable | AnswerHeartbeatBeforeDurable => {
                (entries_are_written_before_they_are_acknowledged, Some("durable_appends"))
            }
            VoteTwice => (one_vote_is_given_in_a_term, Some("tie")),
            ForgetVote => (a_vote_is_written_before_it_is_told, Some("vote_is_durable")),
            KeepVoteInNewTerm => (one_vote_is_given_in_a_term, None),
            CompareLogsByLength | CompareLogsByTerm => (a_candidate_needs_an_up_to_date_log, None),
            TruncateWithoutConflict => (only_what_contradicts_the_leader_is_removed, Some("late_append")),
            CommitByLastIndex => (a_follower_commits_what_the_leader_vouches_for, Some("commit_vouched")),
            HeartbeatSkipsPrevCheck => (entries_are_taken_where_the_one_before_them_is, None),
            SkipPrevTermCheck => (entries_are_taken_where_the_one_before_them_is, Some("conflict")),
            ReadWithoutQuorum => (a_read_is_confirmed_by_a_majority_after_it, Some("read_deposed")),
            ReadBeforeOwnCommit => {
                (a_read_waits_until_the_leader_knows_what_is_committed, Some("read_new_leader"))
            }
            ReadConfirmedByOldRound => (a_read_is_confirmed_by_a_majority_after_it, Some("read")),
            InstallOldSnapshot => (an_older_snapshot_changes_nothing, Some("snapshot_keeps")),
            DropSuffixOnInstall => (a_snapshot_takes_the_place_of_what_it_covers, Some("snapshot_keeps")),
            KeepSuffixOnInstall => (a_snapshot_takes_the_place_of_what_it_covers, Some("snapshot_drops")),
            AnswerInstallBeforeDurable => {
                (a_snapshot_is_written_before_it_is_reported, Some("snapshot_drops"))
            }
            NoBlankEntry => (a_new_leader_adds_an_entry_where_it_is_needed, Some("blank")),
            RestartTimerOnAnyVoteRequest => {
                (only_the_leader_and_a_given_vote_restart_the_election_timer, None)
            }
            NoStickiness => (a_leader_that_is_heard_of_is_not_replaced, Some("pre_vote")),
            NoCheckQuorum => (a_leader_without_a_majority_steps_down, Some("step_down")),
            NoRetry => (a_leader_repeats_what_fails, Some("retries")),
            LatePieceRestarts => (a_late_piece_of_an_older_snapshot_changes_nothing, None),
            SnapshotAheadOfDisk => (a_snapshot_is_named_once_its_own_disk_has_it, None),
            LearnersCount | CountOnlyNewMajority => (both_majorities_commit, None),
            LeaveJointBeforeCommit | NeverLeaveJoint => {
                (a_joint_configuration_is_left_once_it_is_committed, Some("grow"))
            }
            ChangeWithoutOwnTerm => (a_change_waits_for_an_entry_of_the_leaders_own_term, None),
            SecondChangeDuringFirst => {
                (a_second_change_is_refused_while_one_is_in_progress, Some("replace_wiped"))
            }
            CampaignOnUncommittedMembership => {
                (a_node_campaigns_only_as_the_voter_that_is_named, Some("replayed_history"))
            }
            UseCommittedMembership => (both_majorities_elect, Some("grow")),
            RejoinKeepsVoter => (a_rejoin_changes_voters_in_two_steps, Some("replace_wiped")),
            ForgetMembershipOnTruncate => (a_membership_counts_from_when_it_is_in_the_log, None),
            SnapshotWithNewestMembership => (a_snapshot_names_the_membership_after_its_last_entry, None),
            AcceptOtherIncarnation => (a_stranger_is_refused, Some("replace_wiped")),
            AcceptOtherCluster => (a_stranger_is_refused, Some("other_cluster")),
            RemovedLeaderStays => (a_removed_leader_stops, Some("leader_leaves")),
        }
    }

    fn fails(rule: fn()) -> bool {
        std::panic::catch_unwind(rule).is_err()
    }

    #[test]
    fn every_bug_is_noticed() {
        for bug in Bug::ALL.into_iter().chain(Bug::MEMBERSHIP) {
            let (rule, story) = noticed_by(bug);
            BUG.set(None);
            assert!(!fails(rule) && story.is_none_or(scripts::holds), "without a bug all is well");
            BUG.set(Some(bug));
            assert!(fails(rule), "{bug:?} breaks no rule");
            assert!(!story.is_some_and(scripts::holds), "{bug:?} changes no story");
        }
    }

    /// Whoever follows or leads by lot notices what can go wrong for it.
    #[test]
    fn schedules_by_lot_notice_what_is_not_safe() {
        let following = [
            AnswerAppendBeforeDurable,
            AnswerHeartbeatBeforeDurable,
            TruncateWithoutConflict,
            CommitByLastIndex,
            HeartbeatSkipsPrevCheck,
            SkipPrevTermCheck,
            InstallOldSnapshot,
            DropSuffixOnInstall,
            KeepSuffixOnInstall,
        ];
        for bug in following {
            BUG.set(Some(bug));
            assert!(fails(a_follower_keeps_what_it_has_acknowledged), "{bug:?}");
        }
        for bug in [CountSelfBeforeDurable, MatchFromNext, AnswerAppendBeforeDurable, SkipPrevTermCheck] {
            BUG.set(Some(bug));
            assert!(fails(a_leader_commits_what_a_majority_has_written), "{bug:?}");
        }
    }
}
