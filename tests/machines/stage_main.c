/* Gives the stage (tests/fuzz/stage.c, compiled together with this file) each plan of the named
 * files, and then ROUNDS changed copies of each, which are always the same ones. It runs under
 * qemu-user, where libFuzzer and AddressSanitizer do not work. Instead, each plan is followed by a
 * page that cannot be read. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void *guarded_malloc(size_t size);
void guarded_free(void *p);

static char *guarded; /* there is one plan at a time */
static size_t guarded_size;

void *guarded_malloc(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t body = (size + page - 1) / page * page;

	guarded_size = body + page;
	guarded = mmap(NULL, guarded_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (guarded == MAP_FAILED || mprotect(guarded + body, page, PROT_NONE) != 0) {
		perror("mmap");
		exit(2);
	}
	return guarded + ((body - size) & ~(size_t)7); /* plans are aligned */
}

void guarded_free(void *p)
{
	(void)p;
	munmap(guarded, guarded_size);
}

static uint64_t state = 88172645463325252u;

static uint32_t chance(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

static void change(uint8_t *data, size_t size)
{
	static const uint32_t words[] = {0, 1, 7, 8, 255, 4096, 0x7fffffff, 0x80000000, 0xffffffff};

	for (uint32_t n = 1 + chance(4); n > 0; n--) {
		if (chance(2)) {
			data[chance((uint32_t)size)] ^= (uint8_t)(1u << chance(8));
		} else if (size >= 4) {
			size_t at = chance((uint32_t)(size / 4)) * 4u;
			memcpy(data + at, &words[chance(sizeof(words) / sizeof(words[0]))], 4);
		}
	}
}

int main(int argc, char **argv)
{
	static uint8_t data[1 << 16], copy[1 << 16];
	unsigned long tried = 0;
	int rounds = argc > 1 ? atoi(argv[1]) : 0;

	for (int i = 2; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		if (!f) {
			perror(argv[i]);
			return 2;
		}
		size_t size = fread(data, 1, sizeof(data), f);
		fclose(f);
		LLVMFuzzerTestOneInput(data, size);
		for (int n = 0; n < rounds && size > 0; n++) {
			memcpy(copy, data, size);
			change(copy, size);
			LLVMFuzzerTestOneInput(copy, chance(8) ? size : 1 + chance((uint32_t)size));
		}
		tried += 1 + (size ? (unsigned long)rounds : 0);
	}
	printf("%lu plans\n", tried);
	return 0;
}
