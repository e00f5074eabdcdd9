package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserPatience is how long a browser waits for something to come.
const browserPatience = 2 * time.Minute

// browsers are the names of a program that does it; scripts/install-test-deps.sh looks for the same.
var browsers = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"}

// Browser is a tab of a real browser without a screen. It notes what the browser complains about: errors of scripts, and what the policy
// of a page has kept from happening.
type Browser struct {
	T   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// NewBrowser starts a browser with one tab. It ends with the test.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	var path string
	for _, name := range browsers {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatalf("no browser is here (%s): run scripts/install-test-deps.sh", strings.Join(browsers, ", "))
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1400, 900), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("hide-scrollbars", true))
	if os.Geteuid() == 0 { // its sandbox does not work for root
		options = append(options, chromedp.NoSandbox)
	}
	all, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(end)
	ctx, closeTab := chromedp.NewContext(all)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits until the browser has gone
		closeTab()
	})
	b := &Browser{T: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.heard); err != nil { // starts it: a deadline of this context would end the browser
		t.Fatalf("start %s: %v", path, err)
	}
	b.Do(call(network.Enable, network.EnableParams{}), call(runtime.Enable, cdp.Empty{}), call(log.Enable, cdp.Empty{}))
	return b
}

// call is a command of the protocol as an action.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// heard notes what is wrong.
func (b *Browser) heard(e any) {
	text := ""
	switch e := e.(type) {
	case *runtime.EventExceptionThrown:
		text = fmt.Sprintf("script: %s line %d", e.ExceptionDetails.Text, e.ExceptionDetails.LineNumber)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" {
			text = "console: an error"
		}
	case *log.EventEntryAdded:
		// A page that is refused is no fault of the page.
		if e.Entry.Level == "error" && !strings.Contains(e.Entry.Text, "status of 4") {
			text = "browser: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *page.EventJavascriptDialogOpening:
		text = "dialog: " + e.Message
	}
	if text != "" {
		b.mu.Lock()
		b.complaints = append(b.complaints, text)
		b.mu.Unlock()
	}
}

// Complaints returns what the browser has complained about since the last call.
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.complaints
	b.complaints = nil
	return list
}

// Do runs actions, and ends the test when one fails or does not come to its end.
func (b *Browser) Do(actions ...chromedp.Action[chromedp.Void]) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.fail(err)
	}
}

// fail ends the test with what the page shows.
func (b *Browser) fail(err error) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.location + "\n" + document.body.innerText`))
	b.T.Fatalf("the browser: %v\n%s", err, text)
}

// Value evaluates an expression of a script, and waits where that is a promise.
func Value[T any](b *Browser, expression string) T {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.fail(err)
	}
	return v
}

// Open loads a page.
func (b *Browser) Open(url string) {
	b.T.Helper()
	b.Do(chromedp.Navigate(url))
}

// Await waits until a script's expression is true, on whatever page comes.
func (b *Browser) Await(what, expression string) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		met, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && met {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.fail(fmt.Errorf("%s does not come: %w", what, errors.Join(ctx.Err(), err)))
		}
	}
}

// AwaitText waits until the page has a text.
func (b *Browser) AwaitText(text string) {
	b.T.Helper()
	b.Await(fmt.Sprintf("%q", text), fmt.Sprintf("!!document.body && document.body.innerText.includes(%q)", text))
}

// Press clicks on the first button or link that shows a text, or that has it as its name for screen readers.
func (b *Browser) Press(text string) {
	b.T.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll("main button,main a,main summary,nav a,.side a,.side button")].find(e => (e.innerText.trim() === %[1]q || e.getAttribute("aria-label") === %[1]q) && !e.disabled)`, text)
	b.Await("the button "+text, "!!"+find)
	_ = Value[bool](b, `(() => { window.stintSeen = true; const e = `+find+`; e.focus(); setTimeout(() => e.click(), 0); return true })()`)
}

// Go is Press for what leads to another page: it waits for that.
func (b *Browser) Go(text string) {
	b.T.Helper()
	b.Press(text)
	b.Await("the page behind "+text, `!window.stintSeen && document.readyState === "complete"`)
}

// Fill writes into the field that a label names. A box is ticked by any text, and emptied by none.
func (b *Browser) Fill(label, value string) {
	b.T.Helper()
	find := fmt.Sprintf(`(() => {
  const want = %q;
  for (const l of document.querySelectorAll("label")) if (l.innerText.trim().split("\n")[0].trim() === want) return l.control || l.querySelector("input,select,textarea");
  return document.querySelector('[aria-label="' + want + '"]');
})()`, label)
	b.Await("the field "+label, "!!"+find)
	_ = Value[bool](b, fmt.Sprintf(`(() => { const e = %s; if (e.type === "checkbox") { e.checked = %q !== ""; } else { e.value = %q; } return true })()`, find, value, value))
}

// Size makes the window as wide and as high as this.
func (b *Browser) Size(width, height int64) {
	b.T.Helper()
	b.Do(call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 600}))
}

// Dark asks pages for dark colours, or for light ones.
func (b *Browser) Dark(dark bool) {
	b.T.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	b.Do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}}}))
}

// maxPicture is how high a picture may be, in pixels: WebP has no room for more than twice that.
const maxPicture = 8000

// Shoot takes a picture of a whole page, or of the beginning of a very long one, into a WebP file.
func (b *Browser) Shoot(file string) {
	b.T.Helper()
	size := Value[[]float64](b, "[innerWidth, Math.max(innerHeight, document.documentElement.scrollHeight)]")
	quality, whole := int64(75), true
	clip := page.Viewport{Width: size[0], Height: min(size[1], maxPicture), Scale: 1}
	b.Do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		r, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: "webp", Quality: &quality, CaptureBeyondViewport: &whole, Clip: &clip})
		if err != nil {
			return err
		}
		if len(r.Data) == 0 {
			return errors.New("the picture is empty")
		}
		return os.WriteFile(file, r.Data, 0o644)
	}))
}
