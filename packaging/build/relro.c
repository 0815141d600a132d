/*
 * Makes the relocated memory read-only, such as tables of functions.
 *
 * In a dynamic program the loader does this. A static-pie relocates itself, and musl's code leaves the memory of
 * GNU_RELRO writable. Full RELRO would have no effect. So each shipped binary contains this function. It runs after
 * the relocations and before main.
 */

#include <elf.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* Defined by the linker: the address of the file's first byte in memory. */
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

__attribute__((constructor)) static void protect_relro(void)
{
    const uintptr_t base = (uintptr_t)&__ehdr_start;
    const uintptr_t page = getauxval(AT_PAGESZ);
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(base + __ehdr_start.e_phoff);

    for (unsigned left = __ehdr_start.e_phnum; left > 0; left--, segment++) {
        if (segment->p_type != PT_GNU_RELRO)
            continue;
        /* Rounds like glibc's loader: the last page stays writable if it also contains other data. */
        const uintptr_t begin = (base + segment->p_vaddr) & -page;
        const uintptr_t end = (base + segment->p_vaddr + segment->p_memsz) & -page;
        /* If the kernel refuses, the program still works without this protection. A login must not fail for it. */
        if (begin < end)
            (void)mprotect((void *)begin, end - begin, PROT_READ);
    }
}
