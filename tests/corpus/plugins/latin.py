# café
from fitx import steps
