module github.com/stint-run/stint

go 1.26
