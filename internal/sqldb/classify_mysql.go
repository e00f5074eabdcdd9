package sqldb

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/stint-run/stint/tasks"
)

// mysqlNumber returns the number of an error of MySQL in the chain, and 0 when there is none.
func mysqlNumber(err error) uint16 {
	var said *mysql.MySQLError
	if !errors.As(err, &said) {
		return 0
	}
	return said.Number
}

func (mysqlDialect) classify(err error) (error, bool) {
	if errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) {
		return tasks.RetryAfter(tasks.WithHint(err, "nothing is lost; the step goes on when the server is back", "the connection to the server broke"), aWhile()), true
	}
	var warned *warnedError
	if errors.As(err, &warned) {
		return err, true
	}
	var said *mysql.MySQLError
	if !errors.As(err, &said) {
		return err, false
	}
	return classifyMySQL(err, said), true
}

func classifyMySQL(err error, said *mysql.MySQLError) error {
	switch said.Number {
	case 1205, 1213, 3572, 1020: // lock wait timeout, deadlock, NOWAIT, a row has changed since it was read
		return tasks.RetryAfter(err, lockPatience)
	case 1053, 1077, 1079, 1317, 1927, 1152, 1158, 1159, 1160, 1161, 1184, 4031: // shutdown, killed, aborted, network errors, idle for too long
		return tasks.RetryAfter(tasks.WithHint(err, "nothing is lost; the step goes on when the server is back", "the server ended the session"), aWhile())
	case 1040, 1203, 1226:
		return tasks.RetryAfter(tasks.WithHint(err, "raise max_connections there, or give the workers fewer connections", "the server has no connection left"), aWhile())
	case 1021, 1114, 3: // disk full, table full, error writing file
		return tasks.WithHint(err, "free disk space on the database server, then retry", "the disk of the database server is full")
	case 1037, 1038, 1041:
		return tasks.WithHint(err, "give the server more memory, or use smaller batches", "the database server is out of memory")
	case 1290, 1792, 1836:
		return tasks.Permanent(tasks.WithHint(err, "connect to the primary, and open the target for writing", "the database is read-only"))
	case 1044, 1142, 1143, 1227, 1370:
		return tasks.Permanent(tasks.WithHint(err, "GRANT the right to the user of this connection", "the user may not do this"))
	case 1146, 1054, 1049, 1051:
		return tasks.Permanent(tasks.WithHint(err, "was the schema changed, or not created? create it and retry", "a table or column is not there"))
	case 1216, 1452:
		return tasks.Permanent(tasks.WithHint(err, "the target has a foreign key already; drop it, stint adds foreign keys after the load",
			"a row names a row that is not there yet"))
	case 3750:
		return tasks.Permanent(tasks.WithHint(err, "give the table a primary key in the source, or SET sql_require_primary_key = OFF on the target server",
			"the server wants a primary key in each table"))
	case 1062, 1586: // a row's fault does not come here
		return tasks.Permanent(tasks.WithHint(err, "make the rows unique in the source, or drop the unique index there, then migrate again",
			"the rows are not unique, as an index wants them"))
	case 1071, 1118, 1170, 1074, 1117:
		return tasks.Permanent(tasks.WithHint(err, "shorten the columns of the table or of its keys in the source", "the table is more than the server can hold"))
	case 1064, 1067, 1101, 1166, 1103, 1059, 1005, 1215, 3780, 1235, 1075, 1366:
		return tasks.Permanent(err)
	}
	return err
}

// mysqlRowFaults are the errors that are the fault of a row's values, with the SQLSTATE that PostgreSQL would answer with. The
// server's own is HY000 for most of them.
var mysqlRowFaults = map[uint16]string{
	1048: codeNull, 1364: codeNull, 1263: codeNull, 1406: codeTooLong, 1264: codeRange, 1690: codeRange, 1367: codeRange, 1365: "22012", 1292: codeDate,
	1366: codeSyntax, 1265: codeSyntax, 1411: codeSyntax, 1300: codeEncoding, 1062: "23505", 1586: "23505", 1761: "23505", 1762: "23505", 3819: "23514", 4025: "23514",
	3140: codeSyntax, 3141: codeSyntax, 3143: codeSyntax, 3144: codeSyntax, 4038: codeSyntax, 1416: codeSyntax, 1644: "P0001", 1153: "54000", 1301: "54000", 1118: "54000",
	1526: "23514", 1748: "23514",
}

func (mysqlDialect) rowFault(err error) (code, reason, column string, ok bool) {
	var warned *warnedError
	if errors.As(err, &warned) {
		return warned.code(), warned.message, columnIn(warned.message), true
	}
	if errors.Is(err, errSharedKey) {
		return "21000", errSharedKey.Error(), "", true
	}
	var large *largeRowError
	if errors.As(err, &large) {
		return "54000", large.Error(), "", true
	}
	var said *mysql.MySQLError
	if !errors.As(err, &said) {
		return "", "", "", false
	}
	if code, ok = mysqlRowFaults[said.Number]; !ok {
		return "", "", "", false
	}
	return code, said.Message, columnIn(said.Message), true
}

func (mysqlDialect) lacksTable(err error, _ string) bool { return mysqlNumber(err) == 1146 }
func (mysqlDialect) lockTimeout(err error) bool          { return mysqlNumber(err) == 1205 }

// warnedError is a statement that the server carried out with a warning: something is not as it was sent.
type warnedError struct {
	number  uint16
	message string
}

// Error returns the server's words.
func (e *warnedError) Error() string {
	return fmt.Sprintf("the server changed a value: %s (%d)", e.message, e.number)
}

func (e *warnedError) code() string {
	if code, ok := mysqlRowFaults[e.number]; ok {
		return code
	}
	return "01000"
}

// errSharedKey is that of rows that go into the target by one statement, and of which the last shall count. PostgreSQL refuses them too,
// with the same SQLSTATE: rows are tried one by one then.
var errSharedKey = errors.New("two rows of one statement have the same key")

// largeRowError is a row that no statement can hold.
type largeRowError struct{ size, most int }

// Error says how large.
func (e *largeRowError) Error() string {
	return fmt.Sprintf("the row has %d bytes as a statement, and the server takes %d (max_allowed_packet)", e.size, e.most)
}

var (
	columnWords = regexp.MustCompile("(?i)column '?(?:`[^`]*`\\.`[^`]*`\\.)?[`']?([^`']+)[`']")
	rowWords    = regexp.MustCompile(`at row (\d+)`)
)

// columnIn returns the column that a message of the server names; "" for none.
func columnIn(message string) string {
	if m := columnWords.FindStringSubmatch(message); m != nil {
		return strings.TrimSpace(m[1])
	}
	return ""
}

// rowIn returns the row, from 1, that a message of the server names; 0 for none.
func rowIn(err error) int {
	message := ""
	var warned *warnedError
	var said *mysql.MySQLError
	switch {
	case errors.As(err, &warned):
		message = warned.message
	case errors.As(err, &said):
		message = said.Message
	}
	if m := rowWords.FindStringSubmatch(message); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits
		return n
	}
	return 0
}
