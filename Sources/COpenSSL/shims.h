// SHA-256 through OpenSSL's low-level interface: no allocation and no provider look-up per digest.
#ifndef ONCEGATE_COPENSSL_SHIMS_H
#define ONCEGATE_COPENSSL_SHIMS_H

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stddef.h>

typedef SHA256_CTX oncegate_sha256;

static inline void oncegate_sha256_init(oncegate_sha256 *context) { SHA256_Init(context); }
static inline void oncegate_sha256_update(oncegate_sha256 *context, const void *bytes, size_t count) {
    SHA256_Update(context, bytes, count);
}
static inline void oncegate_sha256_final(oncegate_sha256 *context, unsigned char *out) { SHA256_Final(out, context); }

#endif
