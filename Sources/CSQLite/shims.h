// What Swift does not import of SQLite: destructor constants (casts of integers to function pointers) and variadic calls.
#ifndef ONCEGATE_CSQLITE_SHIMS_H
#define ONCEGATE_CSQLITE_SHIMS_H

#include <sqlite3.h>

static inline int oncegate_sqlite3_bind_blob_static(sqlite3_stmt *statement, int index, const void *bytes, int count) {
    return sqlite3_bind_blob(statement, index, bytes, count, SQLITE_STATIC);
}
static inline int oncegate_sqlite3_bind_text_static(sqlite3_stmt *statement, int index, const char *bytes, int count) {
    return sqlite3_bind_text(statement, index, bytes, count, SQLITE_STATIC);
}
// Allocation statistics take a process-wide mutex on every allocation. Without effect once SQLite is initialised.
static inline int oncegate_sqlite3_disable_memory_statistics(void) {
    return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}
static inline int oncegate_sqlite3_set_checkpoint_on_close(sqlite3 *database, int checkpoints) {
    return sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !checkpoints, (int *)0);
}

#endif
