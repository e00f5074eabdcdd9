package datasets

import (
	"testing"
)

func TestWhatIsDeletedComesBackExactlyAsItWas(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		before := l.dump()
		l.hold("j1")
		parts := l.deleteAll("j1", 7)
		rows := int64(0)
		for i, p := range parts {
			if p.Number != i+1 || p.Rows == 0 || p.Rows > 7 {
				t.Errorf("part %d has the number %d and %d rows", i+1, p.Number, p.Rows)
			}
			rows += p.Rows
		}
		if want := int64(labRows + labRows/2 + 1); rows != want {
			t.Errorf("%d rows are archived, want %d", rows, want)
		}
		if got := l.state("j1", Gone); len(got.Parts) != len(parts) {
			t.Errorf("%d parts are noted, want %d", len(got.Parts), len(parts))
		}
		if restored, left := l.restoreAll("j1", false); restored != rows || left != 0 {
			t.Errorf("%d rows came back and %d were there, want %d and 0", restored, left, rows)
		}
		l.state("j1", Restored)
		l.sameDump(l.dump(), before)
	})
}
