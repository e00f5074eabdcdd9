package sqldb

import (
	"testing"

	"github.com/stint-run/stint/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
