package decide

// Action is what becomes of a data set.
type Action string

// The actions. What is held stays as well, and a person should look at it.
const (
	Delete Action = "delete"
	Keep   Action = "keep"
	Hold   Action = "hold"
)

// Reason says why, as a code: each reason leads to one action.
type Reason string

// The reasons. Of several that hold, a decision names the first in the order in which Decide asks; see there.
const (
	Duplicate        Reason = "duplicate"         // delete: its witness stays and holds enough of it
	Newest           Reason = "newest"            // keep: none of those that it shares GUIDs with is known to be newer
	OnlyCopy         Reason = "only_copy"         // keep: its customer has no other data set
	NotDuplicate     Reason = "not_duplicate"     // keep: it shares fewer GUIDs than the threshold with every other one
	TemplateOnly     Reason = "template_only"     // keep: it has no GUIDs but those of template rows
	Exempt           Reason = "exempt"            // keep: so the rules say of its customer
	Recent           Reason = "recent"            // keep: it was synced a short while ago
	UnknownSync      Reason = "unknown_sync"      // keep: nobody knows when it was synced
	FutureSync       Reason = "future_sync"       // keep: its last sync lies in the future
	SameSync         Reason = "same_sync"         // keep: it and its partner were synced at the same time
	NoLiveWitness    Reason = "no_live_witness"   // keep: those that it shares GUIDs with go themselves
	WitnessUploading Reason = "witness_uploading" // keep: the newer one has not been uploaded whole
	LowContainment   Reason = "low_containment"   // hold: too little of it stands in the newer one
	ForeignShared    Reason = "foreign"           // hold: what it shares with the newer one stands with other customers too
	Miscounted       Reason = "miscounted"        // hold: what was counted of its customer contradicts itself
)

// Action returns what the reason leads to. A reason that is not known keeps.
func (r Reason) Action() Action {
	switch r {
	case Duplicate:
		return Delete
	case LowContainment, ForeignShared, Miscounted:
		return Hold
	}
	return Keep
}

// Verdict is what was decided of a customer.
type Verdict struct {
	Sets  []Decision `json:"sets"`            // each data set, by rank
	Pairs []Pair     `json:"pairs,omitempty"` // each two that share Threshold GUIDs, by the ranks of A and B
	// Lost is how many GUIDs only data sets that go hold, each counted once, with their rows that have no GUID.
	Lost int64 `json:"lost"`
}

// Decision is what becomes of a data set, and why.
type Decision struct {
	Database string `json:"database"`
	Decision Action `json:"decision"`
	Reason   Reason `json:"reason"`
	Why      string `json:"why"` // the reason in a sentence
	// Witness is, of a data set that goes, the one that stays and holds its rows. Of others it is the one that came closest to being
	// that, "" where there is none. Shared and the containments are those of the two.
	Witness            string  `json:"witness,omitempty"`
	Shared             int64   `json:"shared,omitempty"` // GUIDs in both
	ContainmentVictim  float64 `json:"containment_victim,omitempty"`
	ContainmentWitness float64 `json:"containment_witness,omitempty"`
	// OnlyHere is how many GUIDs no other data set holds that stays, with the rows that have no GUID; of a data set that nobody read, its
	// rows.
	OnlyHere int64    `json:"only_here"`
	Samples  []string `json:"samples,omitempty"` // some of these GUIDs, in order, at most MaxSamples; of what goes or is held
	Rank     int      `json:"rank"`              // 1 is synced last; unknown and future ones come behind all others
}

// MaxSamples is how many GUIDs a decision gives as samples at most.
const MaxSamples = 20

// Pair is two data sets of a customer that share at least Threshold GUIDs. A is the one with the better rank.
type Pair struct {
	A            string  `json:"a"`
	B            string  `json:"b"`
	Shared       int64   `json:"shared"`        // GUIDs in both
	ContainmentA float64 `json:"containment_a"` // share of A that stands in B, 0 to 1: see Containment
	ContainmentB float64 `json:"containment_b"` // share of B that stands in A
	Why          string  `json:"why"`           // what follows from it, in a sentence
}

// Containment is the share of a data set, 0 to 1, of which shared GUIDs stand in another one. Rows without a GUID are taken for
// rows that stand nowhere else: that nobody can compare them is no reason to lose them. 0 of an empty one.
func (s *Set) Containment(shared int64) float64 {
	if all := s.GUIDs + s.Nulls; all > 0 {
		return float64(shared) / float64(all)
	}
	return 0
}

// unread reports whether nobody has read the data set, as of a customer who has one alone: only its rows are known, or estimated.
func (s *Set) unread() bool { return s.GUIDs == 0 && s.Templates == 0 && s.Nulls == 0 && s.Rows > 0 }
