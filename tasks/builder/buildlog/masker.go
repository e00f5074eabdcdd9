package buildlog

import (
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/stint-run/stint/tasks"
)

// Mask stands where a secret stood.
const Mask = "***"

// Bounds of secrets, in bytes. What is shorter is found in half of all words, and would make a log unreadable.
const (
	MinSecret = 6
	MaxSecret = 64 << 10
)

// Masker knows secrets in all the forms in which programs print them. It is safe for concurrent use. The zero value knows none.
type Masker struct {
	names []string
	nodes []node // an automaton of Aho and Corasick; 0 is its root
	root  [256]int32
	pairs [1 << 10]uint64 // a bit for each two bytes that a form begins with
}

// node is a state: the longest beginning of a form that the text ends in.
type node struct {
	edges []edge
	fail  int32 // the next shorter one
	depth int32 // how long it is, in bytes
	// match is the length of the longest form that the text ends in, 0 for none, and secret the one that it is of.
	match  int32
	secret int32
}

type edge struct {
	to int32
	c  byte
}

// NewMasker knows secrets by their names. A secret of less than MinSecret bytes, without white space at its ends, is an error that
// says its name and not its value.
func NewMasker(secrets map[string]string) (*Masker, error) {
	m := &Masker{nodes: make([]node, 1)}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		value := secrets[name]
		switch n := len(strings.TrimSpace(value)); {
		case n < MinSecret:
			return nil, tasks.WithHint(nil, "choose a longer one: so few letters stand in many words, and cannot be masked", "the secret %s has less than %d bytes", name, MinSecret)
		case n > MaxSecret:
			return nil, tasks.WithHint(nil, "give a key to it as the secret, and the rest as an encrypted file", "the secret %s has more than %d bytes", name, MaxSecret)
		}
		m.names = append(m.names, name)
		for _, form := range forms(value) {
			pair := uint(form[0])<<8 | uint(form[1])
			m.pairs[pair/64] |= 1 << (pair % 64)
			m.add(form, int32(len(m.names)-1))
		}
	}
	m.connect()
	return m, nil
}

func (m *Masker) add(form string, secret int32) {
	at := int32(0)
	for i := range len(form) {
		next := m.child(at, form[i])
		if next == 0 {
			next = int32(len(m.nodes))
			m.nodes = append(m.nodes, node{depth: int32(i + 1)})
			m.nodes[at].edges = append(m.nodes[at].edges, edge{next, form[i]})
		}
		at = next
	}
	if m.nodes[at].match == 0 {
		m.nodes[at].match, m.nodes[at].secret = int32(len(form)), secret
	}
}

func (m *Masker) child(at int32, c byte) int32 {
	for _, e := range m.nodes[at].edges {
		if e.c == c {
			return e.to
		}
	}
	return 0
}

// connect finds for each state the next shorter one, level by level.
func (m *Masker) connect() {
	var queue []int32
	for _, e := range m.nodes[0].edges {
		m.root[e.c] = e.to
		queue = append(queue, e.to)
	}
	for ; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, e := range m.nodes[at].edges {
			fail := m.next(m.nodes[at].fail, e.c)
			n := &m.nodes[e.to]
			if n.fail = fail; n.match == 0 {
				n.match, n.secret = m.nodes[fail].match, m.nodes[fail].secret
			}
			queue = append(queue, e.to)
		}
	}
}

// harmless counts the bytes at the beginning of a text at which no form begins: most of all text.
func (m *Masker) harmless(p []byte) int {
	for i := 0; i+1 < len(p); i++ {
		if pair := uint(p[i])<<8 | uint(p[i+1]); m.pairs[pair/64]&(1<<(pair%64)) != 0 {
			return i
		}
	}
	if n := len(p); n > 0 && m.root[p[n-1]] != 0 {
		return n - 1
	}
	return len(p)
}

func (m *Masker) next(at int32, c byte) int32 {
	for at != 0 {
		if to := m.child(at, c); to != 0 {
			return to
		}
		at = m.nodes[at].fail
	}
	return m.root[c]
}

// scanner is a place in the automaton, with the text that may yet turn out to be the beginning of a secret.
type scanner struct {
	m     *Masker
	state int32
	held  []held
	folds int // line ends one after the other that were passed over
}

// held is a byte that cannot be let go yet.
type held struct {
	c      byte
	fold   bool // a line end within what may be a form
	secret bool
}

// folded is from how many bytes on a line may end within a form: base64 and others cut a text into lines of equal length.
const folded = 4

// step takes one byte more, marks what is secret, and returns how many of those held can go now, and the state of a secret that ends here
// or 0.
func (s *scanner) step(c byte) (free int, found int32) {
	n := &s.m.nodes[s.state]
	if (c == '\n' || c == '\r') && n.depth >= folded && s.folds < 2 && s.m.child(s.state, c) == 0 {
		s.folds++
		s.held = append(s.held, held{c: c, fold: true, secret: false})
		return 0, 0
	}
	s.folds = 0
	s.state = s.m.next(s.state, c)
	s.held = append(s.held, held{c: c})
	if n = &s.m.nodes[s.state]; n.match > 0 {
		found = s.state
		for i := s.back(int(n.match)); i < len(s.held); i++ {
			s.held[i].secret = true
		}
	}
	for s.state != 0 && len(s.m.nodes[s.state].edges) == 0 { // it is whole: nothing to wait for
		s.state = s.m.nodes[s.state].fail
	}
	return s.back(int(s.m.nodes[s.state].depth)), found
}

// back is where the last so many bytes begin that are no folds.
func (s *scanner) back(n int) int {
	i := len(s.held)
	for n > 0 && i > 0 {
		if i--; !s.held[i].fold {
			n--
		}
	}
	return i
}

// Writer masks on the way to w. A secret is found however it is cut into writes, also with line ends in it, as base64 makes them. Held
// back is only what can be the beginning of a secret, never more than the longest form; so there is nothing to flush. Close lets go of
// the rest, and masks it where it is the beginning of a secret that somebody would recognise; it does not close w.
func (m *Masker) Writer(w io.Writer) io.WriteCloser {
	return &maskWriter{w: w, s: scanner{m: m}}
}

type maskWriter struct {
	mu     sync.Mutex
	w      io.Writer
	s      scanner
	masked bool // the last that went out was of a secret
	out    []byte
}

// Write implements io.Writer.
func (w *maskWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.s.m.nodes) < 2 {
		return w.w.Write(p)
	}
	w.out = w.out[:0]
	for i := 0; i < len(p); i++ {
		if w.s.state == 0 {
			if n := w.s.m.harmless(p[i:]); n > 0 {
				w.out, w.masked = append(w.out, p[i:i+n]...), false
				i += n
			}
			if i == len(p) {
				break
			}
		}
		free, _ := w.s.step(p[i])
		w.release(free)
	}
	return len(p), w.send()
}

// release lets go of the first bytes that are held.
func (w *maskWriter) release(n int) {
	if n == 0 {
		return
	}
	for _, h := range w.s.held[:n] {
		switch {
		case !h.secret:
			w.out = append(w.out, h.c)
		case !w.masked:
			w.out = append(w.out, Mask...)
		}
		w.masked = h.secret
	}
	w.s.held = append(w.s.held[:0], w.s.held[n:]...)
}

func (w *maskWriter) send() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}

// Close implements io.Closer.
func (w *maskWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = w.out[:0]
	if len(w.s.m.nodes) > 1 && w.s.m.nodes[w.s.state].depth >= MinSecret {
		for i := w.s.back(int(w.s.m.nodes[w.s.state].depth)); i < len(w.s.held); i++ {
			w.s.held[i].secret = true
		}
	}
	w.release(len(w.s.held))
	w.s.state = 0
	return w.send()
}

// Contains looks for a secret to the end of a text, in constant memory, and returns the name of the first that ends in it, and where it
// begins, in bytes; "" is none.
func (m *Masker) Contains(r io.Reader) (name string, at int64, err error) {
	s := scanner{m: m}
	buf := make([]byte, 64<<10)
	for read := int64(0); ; {
		n, err := r.Read(buf)
		for i := 0; i < n && len(m.nodes) > 1; i++ {
			if s.state == 0 {
				if i += m.harmless(buf[i:n]); i == n {
					break
				}
			}
			free, found := s.step(buf[i])
			if found > 0 {
				begin := s.back(int(m.nodes[found].match))
				return m.names[m.nodes[found].secret], read + int64(i) + 1 - int64(len(s.held)-begin), nil
			}
			s.held = append(s.held[:0], s.held[free:]...)
		}
		read += int64(n)
		if err == io.EOF {
			return "", 0, nil
		}
		if err != nil {
			return "", 0, err
		}
	}
}
