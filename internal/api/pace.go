package api

import (
	"sync"

	"golang.org/x/time/rate"
)

// pace limits how often somebody may do something, by a name. The zero value is ready.
type pace struct {
	mu sync.Mutex
	by map[string]*rate.Limiter
}

// most is how many names are remembered; beyond it all begin anew, so that made-up names cost no memory.
const most = 10_000

// allow takes one from a name's allowance of so many a second, with a burst of two seconds' worth; 0 is without limit.
func (p *pace) allow(name string, perSecond int) bool {
	if perSecond <= 0 {
		return true
	}
	p.mu.Lock()
	l := p.by[name]
	if l == nil {
		if p.by == nil || len(p.by) >= most {
			p.by = map[string]*rate.Limiter{}
		}
		l = rate.NewLimiter(rate.Limit(perSecond), 2*perSecond)
		p.by[name] = l
	}
	p.mu.Unlock()
	return l.Allow()
}
