/* Calls the fuzzer's function with each file that the command line names, without libFuzzer. */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		if (!f) {
			perror(argv[i]);
			return 1;
		}
		size_t n = fread(data, 1, sizeof(data), f);
		fclose(f);
		fprintf(stderr, "%s\n", argv[i]);
		for (int k = 0; k < 256; k++) /* at other addresses each time, which are data once lists are pointers */
			LLVMFuzzerTestOneInput(data, n);
	}
	return 0;
}
