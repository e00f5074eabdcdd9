package pack

import (
	"context"
	"io"
)

// WriteWithStub writes a self-extracting package around another program than the one for Windows.
func WriteWithStub(ctx context.Context, w io.Writer, s Spec, stub []byte) error {
	p, err := plan(s)
	if err != nil {
		return err
	}
	return p.sfxZip(ctx, w, stub)
}

// Stub returns the program for Windows.
func Stub() ([]byte, error) { return unpackedStub() }
