package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stint-run/stint/cmd/internal/rig"
)

func TestZZ(t *testing.T) {
	url := os.Getenv("ZZ_URL")
	b := rig.NewBrowser(t)
	for _, w := range widths {
		b.Size(w.width, w.height)
		b.Dark(w.dark)
		for _, p := range strings.Fields(os.Getenv("ZZ_PAGES")) {
			b.Open(url + p)
			b.Await("the page "+p, `document.readyState === "complete" && document.querySelectorAll("h1").length === 1`)
			if list := b.Complaints(); len(list) > 0 {
				t.Errorf("%s: the browser complains: %q", p, list)
			}
			if wide := rig.Value[int](b, `Math.max(0, document.scrollingElement.scrollWidth - innerWidth)`); wide > 0 {
				t.Errorf("%s is %d pixels too wide for %s", p, wide, w.name)
			}
			rig.Value[bool](b, axe+";true")
			text := rig.Value[string](b, `axe.run(document, {runOnly: ["wcag2a","wcag2aa","wcag21a","wcag21aa","wcag22aa","best-practice"], resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations))`)
			var found []finding
			if err := json.Unmarshal([]byte(text), &found); err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				t.Errorf("%s, %s: %s: %s: %s %s", p, w.name, f.ID, f.Help, f.Nodes[0].HTML, f.Nodes[0].Summary)
			}
			b.Shoot("/tmp/builds-scratch/shots/" + strings.ReplaceAll(strings.Trim(p, "/"), "/", "_") + "-" + w.name + ".webp")
		}
	}
}
