// SQLite's destructor constants are casts of integers to function pointers, which Swift does not import.
#ifndef ONCEGATE_CSQLITE_SHIMS_H
#define ONCEGATE_CSQLITE_SHIMS_H

#include <sqlite3.h>

static inline int oncegate_sqlite3_bind_blob_static(sqlite3_stmt *statement, int index, const void *bytes, int count) {
    return sqlite3_bind_blob(statement, index, bytes, count, SQLITE_STATIC);
}
static inline int oncegate_sqlite3_bind_text_static(sqlite3_stmt *statement, int index, const char *bytes, int count) {
    return sqlite3_bind_text(statement, index, bytes, count, SQLITE_STATIC);
}

#endif
