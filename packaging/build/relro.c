/*
 * Makes read-only what the start of the program has relocated: tables of functions and their like.
 *
 * In a dynamic program the loader does this. A static-pie relocates itself, and musl's code for it leaves that
 * memory writable, whatever the file's GNU_RELRO says: full RELRO would be a label without effect. So this is
 * linked into each binary that is shipped, and runs after the relocations and before main.
 */

#include <elf.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* The linker's name for where the file's first byte was loaded. */
extern const Elf64_Ehdr __ehdr_start __attribute__((visibility("hidden")));

__attribute__((constructor)) static void protect_relro(void)
{
    const uintptr_t base = (uintptr_t)&__ehdr_start;
    const uintptr_t page = getauxval(AT_PAGESZ);
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(base + __ehdr_start.e_phoff);

    for (unsigned left = __ehdr_start.e_phnum; left > 0; left--, segment++) {
        if (segment->p_type != PT_GNU_RELRO)
            continue;
        /* As glibc's loader rounds: a page that other data shares at its end stays writable. */
        const uintptr_t begin = (base + segment->p_vaddr) & -page;
        const uintptr_t end = (base + segment->p_vaddr + segment->p_memsz) & -page;
        /* A kernel that refuses leaves a program that is as good as before: no reason to refuse a login. */
        if (begin < end)
            (void)mprotect((void *)begin, end - begin, PROT_READ);
    }
}
