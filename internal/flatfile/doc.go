// Package flatfile reads folders of files as tables: CSV, TSV, NDJSON and dBase or FoxPro DBF. It implements sqldb.Tabular.
//
// A table is a file of the folder, or a subfolder whose files are its parts. A row is named by its file and its position there:
//
//	csv:export?encoding=cp1252
//	  export/customers.csv             table customers, rows ("customers.csv", 12), ("customers.csv", 57), ...
//	  export/ledger/2024.csv.gz        table ledger, rows ("ledger/2024.csv.gz", 0), ...
//	  export/ledger/2025.csv                         then ("ledger/2025.csv", 12), ...
//	  export/readme.md                 a note
//
// A position is the byte of the uncompressed file at which the row begins; of a DBF it is the number of the record, from 1. The
// position 0 is the beginning of a file, whatever stands before its first row. The layers, from the bottom:
//
//	folder.go   which tables there are, and of which parts
//	part.go     the bytes of a part from a position on: decompressed, UTF-16 turned into UTF-8
//	window.go   a buffer that slides over them
//	csvscan.go  where a row ends; csvsplit.go: where its fields are; csv.go: its cells; csvheader.go: its columns
//	ndjson.go   the same for lines of JSON; jsontext.go: where values end
//	dbf*.go     headers, fields, memos and records of DBF
//	columns.go  the columns of several parts
//	walk.go     the borders of chunks, and rows across parts
//
// docs/files.md says it all to users.
package flatfile
