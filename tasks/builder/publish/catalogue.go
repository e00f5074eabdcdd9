package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
)

// What callers decide by.
var (
	// ErrUnknown: no such version is in the catalogue.
	ErrUnknown = errors.New("no such release")
	// ErrRemoved: the version's packages are gone, and it cannot be used again.
	ErrRemoved = errors.New("release was removed")
)

// Release is a version in the catalogue. An entry never changes.
type Release struct {
	Product  string    `json:"product"`
	Version  string    `json:"version"`
	Channel  string    `json:"channel"` // release, branch or local
	Commit   string    `json:"commit,omitempty"`
	Ref      string    `json:"ref,omitempty"`
	Job      string    `json:"job,omitempty"`
	At       time.Time `json:"at"`
	Packages []Package `json:"packages"`
}

// Package is a file of a release.
type Package struct {
	Name   string          `json:"name"`
	Size   int64           `json:"size"` // bytes
	Digest artifact.Digest `json:"digest"`
	// Keys are where it lies in the artifact store, with what stands beside it: what Sweep deletes. None is elsewhere.
	Keys []string `json:"keys,omitempty"`
}

// Tombstone is what is left of a release whose packages were removed.
type Tombstone struct {
	Product string    `json:"product"`
	Version string    `json:"version"`
	At      time.Time `json:"at"`
	Why     string    `json:"why"`
}

// Catalogue is the list of all versions, in the artifact store:
//
//	releases/PRODUCT/VERSION.json   created if absent; a version has one set of bytes for ever
//	removed/PRODUCT/VERSION.json    its packages are gone; the entry stays
type Catalogue struct{ store artifact.Store }

// NewCatalogue returns the catalogue in an artifact store. Any number of processes may use it at once.
func NewCatalogue(s artifact.Store) *Catalogue { return &Catalogue{s} }

const (
	releases = artifact.OwnReleases + "/"
	removed  = artifact.OwnRemoved + "/"
	// maxRecord is what a record may have in bytes: more was not written here.
	maxRecord = 16 << 20
	page      = 1000
)

func recordKey(prefix, product, version string) string {
	return prefix + artifact.Escape(product) + "/" + artifact.Escape(version) + ".json"
}

// Enter enters a release: once before its packages are published, so that a version is of these bytes or of none. The same again is
// already there, whatever job and time say; of other bytes, another commit or another channel it is a *Conflict, and one whose packages
// have been removed is ErrRemoved.
func (c *Catalogue) Enter(ctx context.Context, r Release) (already bool, err error) {
	if r.Product == "" || r.Version == "" || r.Channel == "" {
		return false, tasks.Permanent(tasks.WithHint(nil, "name product, version and channel", "a release without a name cannot be entered"))
	}
	r.At = r.At.UTC()
	r.Packages = slices.Clone(r.Packages)
	slices.SortFunc(r.Packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	key := recordKey(releases, r.Product, r.Version)
	err = create(ctx, c.store, key, r)
	if err != nil && !errors.Is(err, artifact.ErrExists) {
		return false, err
	}
	if err == nil {
		return false, nil
	}
	there, err := c.Get(ctx, r.Product, r.Version)
	if err != nil {
		return false, err
	}
	if a, b := there.identity(), r.identity(); a != b {
		return false, conflict(r.Product+" "+r.Version, a, b)
	}
	if _, gone, err := c.Removed(ctx, r.Product, r.Version); err != nil || gone {
		if err == nil {
			err = tasks.Permanent(tasks.WithHint(ErrRemoved, "build a new version", "%s %s was removed", r.Product, r.Version))
		}
		return false, err
	}
	return true, nil
}

// identity is the digest of all that makes a release what it is.
func (r Release) identity() artifact.Digest {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q %q\n", r.Product, r.Version, r.Channel, r.Commit)
	for _, p := range r.Packages {
		fmt.Fprintf(&b, "%q %d %s\n", p.Name, p.Size, p.Digest)
	}
	return artifact.DigestOf([]byte(b.String()))
}

// create writes a record that must not be there yet: else artifact.ErrExists.
func create(ctx context.Context, s artifact.Store, key string, record any) error {
	b, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	b = append(b, '\n')
	_, err = s.Put(ctx, key, bytes.NewReader(b), artifact.PutOptions{IfAbsent: true, ContentType: "application/json", Size: int64(len(b))})
	return err
}

// read reads a record: artifact.ErrNotFound where there is none.
func read(ctx context.Context, s artifact.Store, key string, record any) error {
	r, _, err := s.Get(ctx, key, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(b, record); err != nil {
		return tasks.WithHint(err, "it was damaged or written by something else: look at it", "the record %s cannot be read", key)
	}
	return nil
}

// Get returns an entry, of a removed release too: ErrUnknown where there is none.
func (c *Catalogue) Get(ctx context.Context, product, version string) (Release, error) {
	var r Release
	err := read(ctx, c.store, recordKey(releases, product, version), &r)
	if errors.Is(err, artifact.ErrNotFound) {
		return r, tasks.WithHint(errors.Join(ErrUnknown, err), "has its build passed?", "%s %s is not in the catalogue", product, version)
	}
	if err == nil && (r.Product != product || r.Version != version) { // a long name is cut in a key
		return Release{}, tasks.WithHint(ErrUnknown, "it was written by something else: look at it", "the record of %s %s is of %s %s", product, version, r.Product, r.Version)
	}
	return r, err
}

// Removed says whether a release's packages are gone.
func (c *Catalogue) Removed(ctx context.Context, product, version string) (t Tombstone, gone bool, err error) {
	err = read(ctx, c.store, recordKey(removed, product, version), &t)
	if errors.Is(err, artifact.ErrNotFound) {
		return t, false, nil
	}
	return t, err == nil, err
}

// List calls visit with each entry of a product, in the order of the texts of their versions, those of removed releases too.
func (c *Catalogue) List(ctx context.Context, product string, visit func(Release) error) error {
	return eachKey(ctx, c.store, releases+artifact.Escape(product)+"/", func(key string) error {
		var r Release
		if err := read(ctx, c.store, key, &r); err != nil {
			return err
		}
		if key != recordKey(releases, r.Product, r.Version) || r.Product != product {
			return tasks.WithHint(ErrUnknown, "it was written by something else: look at it", "the record %s is of %q %q", key, r.Product, r.Version)
		}
		return visit(r)
	})
}

// Products returns the names of all products that have a release, in order.
func (c *Catalogue) Products(ctx context.Context) ([]string, error) {
	var names []string
	for after := ""; ; {
		list, err := c.store.List(ctx, releases, after, 1)
		if err != nil || len(list) == 0 {
			return names, err
		}
		var r Release
		if err := read(ctx, c.store, list[0].Key, &r); err != nil {
			return nil, err
		}
		names = append(names, r.Product)
		word, _, _ := strings.Cut(strings.TrimPrefix(list[0].Key, releases), "/")
		after = releases + word + "0" // 0 is what comes behind the slash
	}
}

func eachKey(ctx context.Context, s artifact.Store, prefix string, visit func(key string) error) error {
	for after := ""; ; {
		list, err := s.List(ctx, prefix, after, page)
		if err != nil {
			return err
		}
		for _, i := range list {
			if err := visit(i.Key); err != nil {
				return err
			}
			after = i.Key
		}
		if len(list) < page {
			return nil
		}
	}
}

// Sweep removes the packages of releases that nobody keeps and returns which. Of each channel stay the newest keep.Builds, what is younger
// than keep.For, and always the newest; of all channels what is held, by an environment or a person. A keep of zero values removes nothing.
//
// It may be killed at any time and run again: the tombstone comes first, then the packages go, then the next release. held is asked once
// more when the tombstone is there, so that a promotion at the same moment wins or is told.
func (c *Catalogue) Sweep(ctx context.Context, product string, keep pipeline.Keep, held func(product, version string) bool, now time.Time) (gone []Release, err error) {
	if keep.Builds <= 0 && keep.For <= 0 {
		return nil, nil
	}
	var living, dead []Release
	used := map[string]int{} // how many living releases a key belongs to: equal bytes may lie in one place
	err = c.List(ctx, product, func(r Release) error {
		if _, is, err := c.Removed(ctx, r.Product, r.Version); err != nil || is {
			dead = append(dead, r)
			return err
		}
		living = append(living, r)
		for _, key := range r.keys() {
			used[key]++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, r := range dead { // a sweep before this one may have died between tombstone and packages
		if held(r.Product, r.Version) { // and one beside this one is about to take its tombstone back
			continue
		}
		if err := c.clear(ctx, r, used); err != nil {
			return nil, err
		}
	}
	for _, r := range superfluous(living, keep, now) {
		if held(r.Product, r.Version) {
			continue
		}
		tomb := Tombstone{Product: r.Product, Version: r.Version, At: now.UTC(), Why: "older than what is kept of channel " + r.Channel}
		key := recordKey(removed, r.Product, r.Version)
		if err := create(ctx, c.store, key, tomb); err != nil && !errors.Is(err, artifact.ErrExists) {
			return gone, err
		}
		if held(r.Product, r.Version) {
			if err := c.store.Delete(ctx, key); err != nil {
				return gone, err
			}
			continue
		}
		for _, k := range r.keys() {
			used[k]--
		}
		if err := c.clear(ctx, r, used); err != nil {
			return gone, err
		}
		gone = append(gone, r)
	}
	return gone, nil
}

// superfluous are the releases beyond what is kept, the oldest first.
func superfluous(living []Release, keep pipeline.Keep, now time.Time) []Release {
	slices.SortStableFunc(living, func(a, b Release) int { return b.At.Compare(a.At) })
	rank := map[string]int{}
	var out []Release
	for _, r := range living {
		n := rank[r.Channel]
		rank[r.Channel]++
		if n == 0 || n < keep.Builds || keep.For > 0 && now.Sub(r.At) < keep.For {
			continue
		}
		out = append(out, r)
	}
	slices.Reverse(out)
	return out
}

func (r Release) keys() []string {
	var list []string
	for _, p := range r.Packages {
		list = append(list, p.Keys...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// clear deletes what a removed release has in the store and no living one uses.
func (c *Catalogue) clear(ctx context.Context, r Release, used map[string]int) error {
	for _, key := range r.keys() {
		if used[key] > 0 {
			continue
		}
		if err := c.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
