//! Writes findings down: for people, for programs, and one a line for editors.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Finding, Severity};

/// Findings and how to write them.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    findings: &'a [Finding],
}

/// Whether a report for people has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// The colours that terminals have (ECMA-48, "SGR").
    Coloured,
}

impl<'a> Report<'a> {
    /// A report of these findings.
    pub fn new(findings: &'a [Finding]) -> Self {
        Self { findings }
    }

    /// Whether no promise is broken.
    pub fn is_compatible(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// For people: grouped by service, the worst first, and a summary. Every line ends with a newline.
    pub fn text(&self, style: Style) -> String {
        let mut text = String::new();
        let mut services: Vec<&str> = Vec::new();
        for finding in self.findings {
            if !services.contains(&finding.service.as_str()) {
                services.push(&finding.service);
            }
        }
        for service in services {
            text.push_str(&format!("{service}\n"));
            let mut findings: Vec<&Finding> =
                self.findings.iter().filter(|finding| finding.service == service).collect();
            findings.sort_by_key(|finding| finding.severity);
            for finding in findings {
                finding_text(&mut text, finding, style).expect("a string can be written to");
            }
            text.push('\n');
        }
        text.push_str(&self.summary());
        text.push('\n');
        text
    }

    /// How many findings of each kind there are.
    pub fn summary(&self) -> String {
        let count = |severity, one: &str, many: &str| match self.count(severity) {
            0 => None,
            1 => Some(format!("1 {one}")),
            number => Some(format!("{number} {many}")),
        };
        let counts = [
            count(Severity::Error, "breaking change", "breaking changes"),
            count(Severity::Warning, "warning", "warnings"),
            count(Severity::Note, "note", "notes"),
        ];
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        match (self.is_compatible(), counts.is_empty()) {
            (true, true) => "compatible: nothing of meaning has changed".to_owned(),
            (true, false) => format!("compatible: {}", counts.join(", ")),
            (false, _) => counts.join(", "),
        }
    }

    /// One line a finding, after the place in the source where `place` knows it by the name of the service.
    pub fn lines(&self, place: impl Fn(&str) -> Option<String>) -> String {
        let mut text = String::new();
        for finding in self.findings {
            let Finding { rule, severity, service, path, message, .. } = finding;
            let place = place(service).unwrap_or_else(|| service.clone());
            text.push_str(&format!("{place}: {severity}[{rule}] {path}: {message}\n"));
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "compatible": self.is_compatible(),
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "notes": self.count(Severity::Note),
            "findings": self.findings,
        })
    }
}

fn finding_text(text: &mut String, finding: &Finding, style: Style) -> std::fmt::Result {
    const RESET: &str = "\u{1b}[0m";
    let colour = match (style, finding.severity) {
        (Style::Plain, _) => "",
        (Style::Coloured, Severity::Error) => "\u{1b}[1;31m",
        (Style::Coloured, Severity::Warning) => "\u{1b}[33m",
        (Style::Coloured, Severity::Note) => "\u{1b}[2m",
    };
    let reset = if colour.is_empty() { "" } else { RESET };
    let Finding { rule, severity, breaks, path, message, .. } = finding;
    writeln!(text, "  {colour}{severity}[{rule}]{reset} {path}")?;
    writeln!(text, "      {message}")?;
    let label = rule.title();
    match (&finding.old, &finding.new) {
        (None, None) => writeln!(text, "      ({label}; {})", breaks.as_str()),
        (old, new) => {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
            writeln!(text, "      {} -> {} ({label}; {})", side(old), side(new), breaks.as_str())
        }
    }
}
