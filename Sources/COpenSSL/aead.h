// AES-256-GCM (NIST SP 800-38D) and random octets through OpenSSL's EVP interface. Tags are 16 octets, nonces 12.
#ifndef ONCEGATE_COPENSSL_AEAD_H
#define ONCEGATE_COPENSSL_AEAD_H

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

// A context for one direction with the key's schedule expanded, so that a message costs a nonce only. NULL when the
// library refuses. Given back with EVP_CIPHER_CTX_free, which wipes it.
static inline EVP_CIPHER_CTX *oncegate_gcm_create(const unsigned char *key, int seals) {
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context && EVP_CipherInit_ex(context, EVP_aes_256_gcm(), NULL, key, NULL, seals) == 1) return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

// 1 = sealed: `count` octets at `sealed`, which may be `plain`, and the tag.
static inline int oncegate_gcm_seal(EVP_CIPHER_CTX *context, const unsigned char *nonce, const unsigned char *bound,
                                    int bound_count, const unsigned char *plain, int count, unsigned char *sealed,
                                    unsigned char *tag) {
    int written = 0;
    if (EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) != 1) return 0;
    if (EVP_EncryptUpdate(context, NULL, &written, bound, bound_count) != 1) return 0;
    if (count > 0 && EVP_EncryptUpdate(context, sealed, &written, plain, count) != 1) return 0;
    if (EVP_EncryptFinal_ex(context, sealed + count, &written) != 1) return 0;
    return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1;
}

// 1 = authentic: `count` octets at `plain`, which may be `sealed`. Otherwise what stands at `plain` means nothing.
static inline int oncegate_gcm_open(EVP_CIPHER_CTX *context, const unsigned char *nonce, const unsigned char *bound,
                                    int bound_count, const unsigned char *sealed, int count, const unsigned char *tag,
                                    unsigned char *plain) {
    int written = 0;
    if (EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) != 1) return 0;
    if (EVP_DecryptUpdate(context, NULL, &written, bound, bound_count) != 1) return 0;
    if (count > 0 && EVP_DecryptUpdate(context, plain, &written, sealed, count) != 1) return 0;
    if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, (void *)tag) != 1) return 0;
    return EVP_DecryptFinal_ex(context, plain + count, &written) == 1;
}

static inline int oncegate_random_octets(unsigned char *octets, int count) { return RAND_bytes(octets, count) == 1; }

#endif
