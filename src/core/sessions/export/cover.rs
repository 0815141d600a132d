//! The last line of an export, and its state.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::super::log::Kind;
use super::super::report::SessionsReport;
use super::Export;
use super::event::{Coverage, Gap, Head, id_of, text_of};
use super::state::{ExportState, FileMark};
use crate::time::Timestamp;

impl Export {
    /// Writes the last line, about what the export covers, and returns the state for the next one.
    pub fn cover(&mut self, report: &SessionsReport, files: Vec<FileMark>) -> Option<ExportState> {
        let before = self.before.as_ref();
        let since = before.filter(|before| before.exports > 0).map(|before| before.exported_at);
        let since = since.map(|since| Timestamp::from_unix(since).to_string());
        let number = self.number.unwrap_or_default().to_string();
        let id = if let Some(before) = before {
            id_of(&[b"coverage", before.id.as_bytes(), number.as_bytes()])
        } else {
            let boot = self.about.facts.boot_id.as_deref().unwrap_or_default();
            let (to, lines) = (report.log.to.as_deref().unwrap_or_default(), report.log.lines.to_string());
            id_of(&["coverage", boot, &self.exported_at, to, &lines].map(str::as_bytes))
        };
        let [sessions, unused, refusals] = self.counts;
        let mut head = Head::of(&self.about.facts, &self.exported_at);
        head.id = &id;
        head.export_state = before.map(|before| before.id.as_str());
        head.export_number = self.number;
        let coverage = Coverage {
            log: &report.log,
            covered_from: since.as_deref().or(report.log.from.as_deref()),
            covered_to: &self.exported_at,
            complete: report.complete,
            continues: since.is_some(),
            sessions,
            unused,
            refusals,
            waiting: u64::try_from(self.waiting.len()).unwrap_or(u64::MAX),
            all_logins: self.about.all,
            not_known: self.about.facts.not_known.as_deref(),
            gaps: report.warnings.iter().map(|gap| Gap { id: gap.id, seen: &gap.seen }).collect(),
        };
        let text = text_of(&head, &coverage);
        self.write("coverage", &text);
        let before = self.before.take()?;
        Some(ExportState {
            exports: self.number.unwrap_or_default(),
            instance_id: self.about.facts.instance_id.clone().or(before.instance_id),
            exported_at: self.about.now.as_unix(),
            journal: core::mem::take(&mut self.marks).after(before.journal, self.about.kind),
            files: if self.about.kind == Kind::Text { files } else { before.files },
            waiting: core::mem::take(&mut self.waiting),
            recent: core::mem::take(&mut self.recent),
            id: before.id,
            query: before.query,
        })
    }
}
