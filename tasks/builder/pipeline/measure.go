package pipeline

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What durations and sizes look like. The schema has the same.
const (
	durationPattern = `^([0-9]+(d|h|ms|m|s))+$`
	sizePattern     = `^[0-9]+ ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`
)

var (
	durationForms = regexp.MustCompile(durationPattern)
	durationPart  = regexp.MustCompile(`([0-9]+)(d|h|ms|m|s)`)
	sizeParts     = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]+)$`)
	digits        = regexp.MustCompile(`^[0-9_.]+$`)
)

var durationUnits = map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second, "ms": time.Millisecond}

// parseDuration reads whole numbers with their units. The error is a hint.
func parseDuration(text string) (time.Duration, error) {
	switch {
	case digits.MatchString(text):
		return 0, fmt.Errorf("add the unit: %ss, %sm, %sh", text, text, text)
	case !durationForms.MatchString(text):
		return 0, errors.New("write 90s, 10m, 1h30m or 30d")
	}
	var sum time.Duration
	for _, m := range durationPart.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseInt(m[1], 10, 64)
		unit := durationUnits[m[2]]
		if err != nil || n > (math.MaxInt64-int64(sum))/int64(unit) {
			return 0, errors.New("it is too long for a number")
		}
		sum += time.Duration(n) * unit
	}
	return sum, nil
}

// shortDuration writes 1h0m0s as 1h.
func shortDuration(d time.Duration) string {
	if d >= 24*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var sizeUnits = map[string]int64{"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// parseSize reads a whole number with its unit: MB is a million bytes, MiB 1,048,576. The error is a hint.
func parseSize(text string) (int64, error) {
	m := sizeParts.FindStringSubmatch(text)
	switch {
	case digits.MatchString(text):
		return 0, fmt.Errorf("add the unit: %sB, %sMiB, %sGiB", text, text, text)
	case m == nil:
		return 0, errors.New("write 512KiB, 500MB or 2GiB")
	}
	unit, ok := sizeUnits[m[2]]
	if !ok && !strings.EqualFold(m[2], "b") {
		for known := range sizeUnits {
			if strings.EqualFold(known, m[2]) || strings.EqualFold(known, m[2]+"iB") {
				return 0, fmt.Errorf("write %s%s or %s%s", m[1], strings.ToUpper(m[2][:1])+"B", m[1], strings.ToUpper(m[2][:1])+"iB")
			}
		}
	}
	if !ok {
		return 0, errors.New("write 512KiB, 500MB or 2GiB")
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, errors.New("it is too large for a number")
	}
	return n * unit, nil
}

// shortSize writes a size in the greatest unit that it is a whole number of.
func shortSize(n int64) string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n >= sizeUnits[unit] && n%sizeUnits[unit] == 0 {
			return fmt.Sprintf("%d%s", n/sizeUnits[unit], unit)
		}
	}
	return fmt.Sprintf("%dB", n)
}
