# Writes tables of dBase III, IV and V with Perl's XBase (Debian: libdbd-xbase-perl). See make.py.
use strict;
use XBase;
for my $version (3, 4, 5) {
    my $t = XBase->create(
        "name" => "xbase$version.dbf", "version" => $version,
        "field_names" => ["ID", "NAME", "NOTES", "OK", "BORN", "AMOUNT"],
        "field_types" => ["N", "C", "M", "L", "D", "F"],
        "field_lengths" => [6, 20, 10, 1, 8, 12],
        "field_decimals" => [0, 0, 0, 0, 0, 3]) or die XBase->errstr;
    $t->set_record(0, 1, "Miller", "a long memo\nof two lines", 1, "20240229", "1.500");
    $t->set_record(1, undef, "", "", undef, undef, undef);
    $t->set_record(2, -5, " x  y", "y" x 1500, 0, "19991231", "-3.25");
    $t->set_record(3, 4, "gone", "of a deleted record", 1, "20000101", "4");
    $t->set_record(4, 5, "last", "short", 0, "00010101", "12345678.125");
    $t->delete_record(3);
    $t->close;
}
