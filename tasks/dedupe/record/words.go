package record

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// nouns is a count with its noun: 1 row, 2 rows.
func nouns(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return decide.Number(n) + " " + noun + "s"
}

func ratio(part, whole int64) string {
	if whole <= 0 {
		return "0.0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

// portion writes a share of 0 to 1 as percent, with as many digits as it has.
func portion(x float64) string {
	return strconv.FormatFloat(math.Round(x*1e6)/1e4, 'f', -1, 64) + " %"
}

// length writes a time in days where it is one or more.
func length(d time.Duration) string {
	if d < 24*time.Hour {
		return d.String()
	}
	days := strconv.FormatFloat(d.Hours()/24, 'f', -1, 64)
	if days == "1" {
		return "1 day"
	}
	return days + " days"
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// short is the beginning of a digest, by which people tell one from another.
func short(digest string) string { return digest[:min(len(digest), 12)] }

func size(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1024 {
		return nouns(n, "byte")
	}
	x := float64(n)
	unit := ""
	for _, unit = range units {
		if x /= 1024; x < 1024 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", x, unit)
}

// some lists the first names, and says how many more there are.
func some(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %s more", strings.Join(names[:most], ", "), decide.Number(int64(len(names)-most)))
}

// printable keeps names that somebody else chose from moving the cursor of a terminal or adding lines.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
