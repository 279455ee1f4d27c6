from fitx import callbacks


@callbacks.register
class CSV:
    pass
