//! The lock: the contract that has been blessed, what was broken knowingly and why, and what has to be remembered when
//! a method is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::{Contract, ContractError, check_format};
use crate::diff::{Finding, History, Rule, Severity, compare};

/// The format of lock files that this program writes, and the only one that it reads.
pub const LOCK_FORMAT: u32 = 1;

/// The lock file of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// The format of the file.
    pub format: u32,
    /// The releases in which the contract was blessed, in order; the last is the contract's.
    pub releases: Vec<String>,
    /// Breaking changes that were made knowingly, in order.
    #[serde(default)]
    pub accepted: Vec<Accepted>,
    /// Wire names that methods had once; they may not come back with another meaning.
    #[serde(default)]
    pub reserved: BTreeSet<String>,
    /// Since which release each method is deprecated.
    #[serde(default)]
    pub deprecated: BTreeMap<String, String>,
    /// The contract that new versions are held to.
    pub contract: Contract,
}

/// A breaking change that was made knowingly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The rule that it breaks.
    pub rule: Rule,
    /// Where.
    pub path: String,
    /// Why it was made all the same.
    pub reason: String,
    /// The release that it came with.
    pub release: String,
}

/// Leave to break one rule at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The rule.
    pub rule: Rule,
    /// The place, as the finding names it.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Why a contract was not blessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// These break promises and were not allowed.
    Breaking(Vec<Finding>),
    /// These were allowed, and nothing of the kind has changed.
    Unused(Vec<Allowance>),
    /// An allowance without a reason.
    NoReason(Allowance),
}

impl Lock {
    /// The lock of a contract that is blessed for the first time.
    pub fn first(contract: Contract, release: &str) -> Self {
        let mut lock = Self {
            format: LOCK_FORMAT,
            releases: Vec::new(),
            accepted: Vec::new(),
            reserved: BTreeSet::new(),
            deprecated: BTreeMap::new(),
            contract: contract.clone(),
        };
        lock.take(contract, release);
        lock
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// When the document is of another format, or no lock at all.
    pub fn from_json(document: &Value) -> Result<Self, ContractError> {
        check_format(document, "lock", LOCK_FORMAT)?;
        let contract = document.get("contract").unwrap_or(&Value::Null);
        Contract::from_json(contract)?;
        Self::deserialize(document).map_err(|error| ContractError::new(format!("it is no lock: {error}")))
    }

    /// The lock as the text of its file.
    pub fn to_text(&self) -> String {
        let document = serde_json::to_value(self).expect("all keys of a lock are strings");
        format!("{document:#}\n")
    }

    /// What changed from the blessed contract to `contract`.
    pub fn check(&self, contract: &Contract) -> Vec<Finding> {
        compare(&self.contract, contract, &self.history())
    }

    /// Makes `contract` the blessed one, if all that it breaks is in `allowances`.
    ///
    /// # Errors
    /// When it breaks more than that, or an allowance has no use or no reason. Nothing is changed then.
    pub fn bless(
        &mut self,
        contract: Contract,
        release: &str,
        allowances: &[Allowance],
    ) -> Result<Vec<Finding>, Refusal> {
        if let Some(allowance) = allowances.iter().find(|allowance| allowance.reason.trim().is_empty()) {
            return Err(Refusal::NoReason(allowance.clone()));
        }
        let findings = self.check(&contract);
        let breaking = || findings.iter().filter(|finding| finding.severity == Severity::Error);
        let is_allowed = |finding: &Finding| allowances.iter().any(|allowance| allowance.covers(finding));
        let unused =
            allowances.iter().filter(|allowance| !breaking().any(|finding| allowance.covers(finding)));
        let unused: Vec<Allowance> = unused.cloned().collect();
        let refused: Vec<Finding> = breaking().filter(|finding| !is_allowed(finding)).cloned().collect();
        if !refused.is_empty() {
            return Err(Refusal::Breaking(refused));
        }
        if !unused.is_empty() {
            return Err(Refusal::Unused(unused));
        }
        self.accepted.extend(allowances.iter().map(|allowance| Accepted {
            rule: allowance.rule,
            path: allowance.path.clone(),
            reason: allowance.reason.clone(),
            release: release.to_owned(),
        }));
        self.take(contract, release);
        Ok(findings)
    }

    /// Replaces the contract, and remembers of the old one what the new one does not say.
    fn take(&mut self, contract: Contract, release: &str) {
        if self.releases.last().is_none_or(|last| last != release) {
            self.releases.push(release.to_owned());
        }
        let old_names = names(&self.contract);
        self.reserved.extend(old_names.into_iter().filter(|name| contract.method(name).is_none()));
        // Whoever has been allowed to use a name again has it.
        self.reserved.retain(|name| contract.method(name).is_none());
        let methods = contract.services.iter().flat_map(|service| &service.methods);
        let deprecated = methods.filter(|method| method.deprecated.is_some()).map(|method| {
            let since = self.deprecated.get(&method.name).cloned();
            (method.name.clone(), since.unwrap_or_else(|| release.to_owned()))
        });
        self.deprecated = deprecated.collect();
        self.contract = contract;
    }

    fn history(&self) -> History {
        let releases_since = |since: &String| {
            let first = self.releases.iter().position(|release| release == since);
            self.releases.len() - first.unwrap_or(self.releases.len())
        };
        let releases = self.deprecated.iter().map(|(name, since)| (name.clone(), releases_since(since)));
        History { deprecated_releases: releases.collect(), reserved: self.reserved.clone() }
    }
}

impl Allowance {
    /// Whether this is what the finding needs.
    fn covers(&self, finding: &Finding) -> bool {
        self.rule == finding.rule && self.path == finding.path
    }
}

/// Every wire name of a contract.
fn names(contract: &Contract) -> Vec<String> {
    let methods = contract.services.iter().flat_map(|service| &service.methods);
    methods.flat_map(|method| method.names().map(str::to_owned)).collect()
}

impl FromStr for Allowance {
    type Err = String;

    /// Reads `R07:put.arguments.ttl`; the reason comes separately.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rule, path) = text
            .split_once(':')
            .filter(|(_, path)| !path.is_empty())
            .ok_or_else(|| format!("`{text}` must be a rule and a path, as in `R07:put.arguments.ttl`"))?;
        Ok(Self { rule: rule.parse()?, path: path.to_owned(), reason: String::new() })
    }
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.rule, self.path)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breaking(findings) => {
                write!(f, "the contract breaks what was promised; to break it knowingly, add")?;
                let mut told = BTreeSet::new();
                for finding in findings {
                    if told.insert((finding.rule, &finding.path)) {
                        write!(f, "\n  --allow '{}:{}' --reason \"...\"", finding.rule, finding.path)?;
                    }
                }
                Ok(())
            }
            Self::Unused(allowances) => {
                write!(f, "nothing breaks what is allowed by")?;
                allowances.iter().try_for_each(|allowance| write!(f, "\n  --allow '{allowance}'"))
            }
            Self::NoReason(allowance) => write!(f, "`--allow '{allowance}'` needs a `--reason`"),
        }
    }
}

impl std::error::Error for Refusal {}
