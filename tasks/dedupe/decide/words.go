package decide

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Number writes a count for people: 2,491,409.
func Number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for at := len(digits) - 3; at > first; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// counted is a count with its noun: 1 GUID, 20 GUIDs.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Number(n) + " " + noun + "s"
}

// percent writes a part of a whole, rounded down, so that 89.96 % does not read like the 90 % that it fails.
func percent(part, whole int64) string {
	if whole <= 0 {
		return "0.0 %"
	}
	return share(float64(part) / float64(whole))
}

// share writes a share of 0 to 1 as percent with one decimal, rounded down.
func share(x float64) string {
	return fmt.Sprintf("%.1f %%", math.Floor(x*1000+1e-9)/10)
}

// excess writes a share that is too much: rounded up, so that it does not read like the bound that it exceeds.
func excess(x float64) string {
	return fmt.Sprintf("%.1f %%", math.Ceil(x*1000-1e-9)/10)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// span writes a length of time in the unit that people would use.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return counted(int64(d/(24*time.Hour)), "day")
	case d >= 2*time.Hour:
		return counted(int64(d/time.Hour), "hour")
	case d >= 2*time.Minute:
		return counted(int64(d/time.Minute), "minute")
	}
	return counted(int64(d/time.Second), "second")
}
