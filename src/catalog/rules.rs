//! Which safety rules are in force.
//!
//! Production code always runs with [`Rules::ALL`]. The models switch one rule off and must then find a schedule that loses
//! data: a rule no model needs would be a rule nobody understands.

/// One rule, or one half of a rule, that can be switched off alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// R2: a Push names every pack of every row it writes, touched rows included.
    TouchNames,
    /// R2: a bundle that shares pages names its base, which must be live where the Push lands.
    BaseBundle,
    /// R2: no page is shared with a base that got another root since the session began.
    BaseRoot,
    /// R3: a Condemn subtracts what every entry since its mark names, also those a checkpoint has folded away.
    GapRead,
    /// R3: it spares where a pack leads that stays, for that pack may be named at any time; off: what is live is enough.
    LedSpared,
    /// R4: a mark follows forwards, so the pack at the end of a chain is live.
    MarkResolves,
    /// R4: a forward goes only when no live row and no live page names its source.
    ForwardKept,
    /// R4: a forward stays while a chain leads through it from something that is named; off: while its source itself is named.
    ChainKept,
    /// R4: a new forward leaves covered whatever an older one covers; off: the last one is believed, though its collection saw less.
    CoverKept,
    /// R4: a copy that lacks what nothing live needs takes the place of its source where that is condemned; off: before that.
    BlankCondemns,
    /// R5: an entry is mine when the slot holds exactly my bytes; off: when it has my writer.
    ExactBytes,
    /// R5: an unclear create is met with the same bytes again; off: with a newly built entry.
    SameBytes,
    /// R5: a create that says "exists" is believed only after the slot was read; off: it belongs to somebody else.
    ReadSlot,
    /// R7: the tail holds every change after what the checkpoint covers; off: after the checkpoint's own slot.
    Covers,
    /// R8: a change is checked again at every slot it comes to.
    Recheck,
    /// R8: a resumed or partly redone session keeps its first base.
    KeepBase,
    /// R8: a session whose base lies below the floor starts again.
    Floor,
    /// R8: no own pack is condemned and every named pack is in the table.
    PackCheck,
    /// R8: a Compact passes the checks of its own packs like every other kind.
    CompactOwn,
    /// R9: a Drop kills only rows born at or before the seq it was planned on; off: every row before its own slot.
    DropUpto,
    /// R9: a merged row keeps the seq of the Push that promised it.
    Births,
    /// R9: a merge keeps the row with the larger `born`.
    Newest,
    /// R9: the key of a row is (oid, repo); off: the oid.
    Key,
    /// R9: a Compact whose inputs are not all live is given up.
    OutsLive,
    /// R9: a lookup goes on past rows that are dead; off: the first row found is the one.
    FoundLive,
    /// R9: a Compact names the forward targets it wrote into rows.
    RewriteNames,
    /// R9: a table that is built again from pushes leaves out what any Drop in the log has killed; off: what the state remembers.
    RebuiltDead,
    /// R9: of what pushes promised, only rows of the births that a damaged segment had come in its place.
    RebuiltBirths,
    /// R14: a deleted repo takes no pushes.
    DeletedTakes,
    /// R14: a repo of which something was dropped is not undeleted.
    DroppedStays,
    /// R14: a Drop was planned after its repo was last deleted or undeleted.
    LifeSeen,
    /// R14: a label leads to a bundle that is live where it lands.
    LabelLeads,
    /// R14: a Drop spares bundles that a label leads to.
    LabelKeeps,
    /// R14: a label moves only from the change that its mover saw.
    LabelSeen,
}

/// A set of rules in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    off: u64,
}

impl Rules {
    /// Every rule: what production code uses.
    pub const ALL: Rules = Rules { off: 0 };

    /// Every rule but one, for the models.
    pub const fn without(rule: Rule) -> Rules {
        Rules::ALL.and_without(rule)
    }

    /// These rules without one more, for the models.
    pub const fn and_without(self, rule: Rule) -> Rules {
        Rules { off: self.off | 1 << rule as u8 }
    }

    /// Whether a rule is in force.
    pub const fn on(self, rule: Rule) -> bool {
        self.off & 1 << rule as u8 == 0
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules::ALL
    }
}
